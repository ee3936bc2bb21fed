#include "cli/ledger_file.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "common/crypto/digest.h"

namespace tacit::cli {
namespace {

constexpr const char* kFormat = "tacit-ledger/1";

/// One JSON object, read field by field; messages say where the object stands.
class Fields {
 public:
  Fields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  [[nodiscard]] Result<const Json*> At(std::string_view key) const {
    const auto found = object_.is_object() ? object_.find(key) : object_.end();
    if (found == object_.end()) return Bad(key, "is missing");
    return &*found;
  }
  [[nodiscard]] Result<std::string> Text(std::string_view key) const {
    TACIT_TRY(const Json* const value, At(key));
    if (!value->is_string()) return Bad(key, "must be a text");
    return value->get<std::string>();
  }
  [[nodiscard]] Result<std::uint64_t> Count(std::string_view key) const {
    TACIT_TRY(const Json* const value, At(key));
    if (!value->is_number_unsigned()) return Bad(key, "must be a whole number, 0 or more");
    return value->get<std::uint64_t>();
  }
  /// JSON has no infinity: null is one.
  [[nodiscard]] Result<double> Real(std::string_view key) const {
    TACIT_TRY(const Json* const value, At(key));
    if (value->is_null()) return std::numeric_limits<double>::infinity();
    if (!value->is_number()) return Bad(key, "must be a number");
    return value->get<double>();
  }
  template <typename Checked>
  [[nodiscard]] Result<Checked> Value(std::string_view key) const {
    TACIT_TRY(const double value, Real(key));
    return Here(Checked::Create(value));
  }
  /// The value of a word, by the function that knows the words.
  template <typename T>
  [[nodiscard]] Result<T> Word(std::string_view key, Result<T> (*parse)(std::string_view)) const {
    TACIT_TRY(const std::string word, Text(key));
    return Here(parse(word));
  }
  [[nodiscard]] Result<std::uint32_t> Radius() const {
    TACIT_TRY(const std::uint64_t value, Count("grid_radius"));
    if (value > dp::kMaxGridRadius) return Bad("grid_radius", "is too large");
    return static_cast<std::uint32_t>(value);
  }
  [[nodiscard]] Result<Digest256> Digest(std::string_view key) const {
    TACIT_TRY(const std::string text, Text(key));
    const auto bytes = ParseHex(text);
    Digest256 digest{};
    if (!bytes || bytes->size() != digest.size()) return Bad(key, "must be 64 hexadecimal digits");
    std::ranges::copy(*bytes, digest.begin());
    return digest;
  }
  [[nodiscard]] std::unexpected<Error> Bad(std::string_view key, std::string_view what) const {
    return Fail(ErrorCode::kInvalidArgument, where_ + ": '" + std::string(key) + "' " + std::string(what));
  }

 private:
  template <typename T>
  [[nodiscard]] Result<T> Here(Result<T> result) const {
    if (!result) return Annotate(result.error(), where_);
    return result;
  }

  const Json& object_;
  std::string where_;
};

Result<std::optional<dp::CheckinCoin>> ReadCoin(const Fields& policy) {
  TACIT_TRY(const Json* const object, policy.At("coin"));
  if (object->is_null()) return std::optional<dp::CheckinCoin>();
  const Fields fields(*object, "the policy's coin");
  TACIT_TRY(const auto probability, fields.Value<dp::SamplingProbability>("probability"));
  TACIT_TRY(const std::uint64_t population, fields.Count("population"));
  TACIT_TRY(const std::uint64_t max_cohort, fields.Count("max_cohort"));
  return dp::CheckinCoin{.probability = probability, .population = population, .max_cohort = max_cohort};
}

Result<std::optional<dp::ClipTracking>> ReadTracking(const Fields& policy) {
  TACIT_TRY(const Json* const object, policy.At("clip_tracking"));
  if (object->is_null()) return std::optional<dp::ClipTracking>();
  const Fields fields(*object, "the policy's clip tracking");
  TACIT_TRY(const std::uint64_t bit_steps, fields.Count("bit_steps"));
  if (bit_steps > dp::kMaxGridRadius) return fields.Bad("bit_steps", "is too large");
  TACIT_TRY(const double quantile, fields.Real("quantile"));
  TACIT_TRY(const double learning_rate, fields.Real("learning_rate"));
  return dp::ClipTracking{
      .bit_steps = static_cast<std::uint32_t>(bit_steps), .quantile = quantile, .learning_rate = learning_rate};
}

Result<dp::BudgetPolicy> ReadPolicy(const Json& json) {
  const Fields fields(json, "the policy");
  TACIT_TRY(TaskId task, fields.Word("task", &TaskId::Parse));
  TACIT_TRY(const dp::Mechanism mechanism, fields.Word("mechanism", &dp::ParseMechanism));
  TACIT_TRY(const auto noise_multiplier, fields.Value<dp::NoiseMultiplier>("noise_multiplier"));
  TACIT_TRY(const auto clip_norm, fields.Value<dp::ClipNorm>("clip_norm"));
  TACIT_TRY(const std::uint32_t radius, fields.Radius());
  TACIT_TRY(const auto grid_radius, dp::GridRadius::Create(radius));
  TACIT_TRY(const std::uint64_t cohort, fields.Count("cohort"));
  TACIT_TRY(const auto delta, fields.Value<dp::Delta>("delta"));
  TACIT_TRY(const auto budget, fields.Value<dp::Epsilon>("epsilon_budget"));
  TACIT_TRY(const std::uint64_t max_participations, fields.Count("max_participations"));
  TACIT_TRY(const std::uint64_t min_separation, fields.Count("min_separation"));
  TACIT_TRY(const auto coin, ReadCoin(fields));
  TACIT_TRY(const auto tracking, ReadTracking(fields));
  return dp::BudgetPolicy{.task = std::move(task),
                          .mechanism = mechanism,
                          .noise_multiplier = noise_multiplier,
                          .clip_norm = clip_norm,
                          .grid_radius = grid_radius,
                          .cohort = cohort,
                          .delta = delta,
                          .budget = budget,
                          .max_participations = max_participations,
                          .min_separation = min_separation,
                          .coin = coin,
                          .tracking = tracking,
                          .hash = &crypto::Sha256};
}

Result<dp::LedgerEntry> ReadEntry(const Json& json, const TaskId& task, std::size_t place) {
  const Fields fields(json, "item " + std::to_string(place));
  dp::LedgerEntry entry{.task = task, .at = {}};
  TACIT_TRY(entry.sequence, fields.Count("sequence"));
  TACIT_TRY(entry.kind, fields.Word("kind", &dp::ParseLedgerKind));
  TACIT_TRY(entry.round, fields.Count("round"));
  TACIT_TRY(entry.mechanism, fields.Word("mechanism", &dp::ParseMechanism));
  TACIT_TRY(entry.noise_multiplier, fields.Real("noise_multiplier"));
  TACIT_TRY(entry.clip_norm, fields.Real("clip_norm"));
  TACIT_TRY(entry.grid_radius, fields.Radius());
  TACIT_TRY(entry.cohort, fields.Count("cohort"));
  TACIT_TRY(const std::uint64_t at, fields.Count("at_ms"));
  entry.at = WallTime(Millis(static_cast<std::int64_t>(std::min<std::uint64_t>(at, INT64_MAX))));
  TACIT_TRY(entry.epsilon_after, fields.Real("epsilon_after"));
  TACIT_TRY(entry.previous, fields.Digest("previous"));
  TACIT_TRY(entry.hash, fields.Digest("hash"));
  return entry;
}

}  // namespace

Json LedgerDocument(const Json& policy, const Json& latest_version, const Json& items) {
  return {{"format", kFormat}, {"policy", policy}, {"latest_version", latest_version}, {"items", items}};
}

Result<LedgerFile> ParseLedgerFile(std::string_view text) {
  const Json document = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) return Fail(ErrorCode::kMalformed, "the file is not JSON");
  const Fields fields(document, "the file");
  const auto format = fields.Text("format");
  if (!format || *format != kFormat) {
    return Fail(ErrorCode::kMalformed, "the file is no privacy ledger: it must say \"format\": \"tacit-ledger/1\"");
  }
  TACIT_TRY(const Json* const policy, fields.At("policy"));
  TACIT_TRY(const Json* const items, fields.At("items"));
  if (!items->is_array()) return fields.Bad("items", "must be a list");
  TACIT_TRY(dp::BudgetPolicy read, ReadPolicy(*policy));
  LedgerFile file{.policy = std::move(read), .entries = {}};
  TACIT_TRY(file.latest_version, fields.Count("latest_version"));
  for (std::size_t i = 0; i < items->size(); ++i) {
    TACIT_TRY(dp::LedgerEntry entry, ReadEntry((*items)[i], file.policy.task, i + 1));
    file.entries.push_back(std::move(entry));
  }
  return file;
}

}  // namespace tacit::cli
