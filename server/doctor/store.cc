#include <cstdint>
#include <optional>
#include <string>

#include "common/base/text.h"
#include "server/doctor/checks.h"
#include "server/doctor/doctor.h"
#include "server/store/inspection.h"
#include "server/store/schema.h"

namespace tacit::doctor {
namespace {

constexpr const char* kStore = "store";
constexpr Millis kPatience{10'000};
// A second or two of hashing.
constexpr std::uint64_t kMostLinks = 200'000;
// The newest record may be of this very moment.
constexpr Millis kClockMargin{2000};
constexpr const char* kRestore = "stop tacitd, keep the data directory, and restore one from a backup";
constexpr const char* kAsItsUser = "run this as the user that tacitd runs as";

Finding Problem(const Error& error) {
  return {.area = kStore,
          .verdict = Verdict::kProblem,
          .what = error.message,
          .next = error.code == ErrorCode::kDataLoss ? kRestore : kAsItsUser};
}

Finding CheckSchema(store::Inspection& store) {
  const auto schema = store.Schema();
  if (!schema) return Problem(schema.error());
  Finding finding = Ok(kStore, "the database has schema " + std::to_string(*schema) + ", and this release knows " +
                                   std::to_string(store::kSchemaVersion));
  if (*schema < store::kSchemaVersion) {
    finding.verdict = Verdict::kWarning;
    finding.next = "back up the data directory: the next start of tacitd brings the schema forward, for good";
  }
  if (*schema > store::kSchemaVersion) {
    finding.verdict = Verdict::kProblem;
    finding.next = "use the newer release, of tacitd and of tacit";
  }
  return finding;
}

Finding CheckPages(store::Inspection& store, const Clock& clock) {
  const auto sound = store.CheckPages(clock, clock.SteadyNow() + kPatience);
  if (sound) return Ok(kStore, "every page of the database is sound");
  if (sound.error().code == ErrorCode::kDeadlineExceeded)
    return Ok(kStore, "the database is too large to look through here; what ten seconds were enough for is sound");
  return Problem(sound.error());
}

Finding CheckChains(store::Inspection& store) {
  const auto length = store.ChainLength();
  if (!length) return Problem(length.error());
  if (*length > kMostLinks) {
    return Ok(kStore, "ledgers and audit log have " + std::to_string(*length) +
                          " entries, too many to compute again here; 'tacit privacy verify' does it for one task");
  }
  const auto records = store.CheckAudit();
  if (!records) return Problem(records.error());
  const auto entries = store.CheckLedgers();
  if (!entries) return Problem(entries.error());
  return Ok(kStore, "the hash chains hold: " + Counted(*records, "record") + " of the audit log, " +
                        std::to_string(*entries) + " of ledgers");
}

std::optional<Finding> CheckTimes(store::Inspection& store, WallTime now) {
  const std::optional<WallTime> newest = store.Newest().value_or(std::nullopt);
  if (!newest || *newest <= now + kClockMargin) return std::nullopt;
  return Finding{.area = "clock",
                 .verdict = Verdict::kProblem,
                 .what = "this machine's clock is " + Roughly(*newest - now) +
                         " before the store's newest record, of " + FormatRfc3339(*newest),
                 .next = "timedatectl shows the clock: set it right before tacitd starts"};
}

}  // namespace

Findings CheckStore(const app::ServerConfig& config, const Clock& clock) {
  auto store = store::Inspection::Open(config.data_dir);
  if (!store && store.error().code == ErrorCode::kNotFound)
    return {Ok(kStore, "there is no database yet: the first start of tacitd makes it")};
  if (!store) return {Problem(store.error())};
  Findings findings = {CheckSchema(*store)};
  // What the rows of another release mean is not known here.
  if (findings.back().verdict == Verdict::kProblem) return findings;
  findings.push_back(CheckPages(*store, clock));
  if (findings.back().verdict == Verdict::kProblem) return findings;
  findings.push_back(CheckChains(*store));
  if (auto time = CheckTimes(*store, clock.Now())) findings.push_back(*std::move(time));
  return findings;
}

}  // namespace tacit::doctor
