#include "edge_agent/serving/quotas.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>

namespace tacit::serving {
namespace {

constexpr double kMillisPerMinute = 60'000;

struct Amount {
  std::uint64_t limit;  // a minute; 0: none
  double used;
  double wanted;
  std::string_view what;
};

// What is over, and how long it takes until it is not: nothing where it fits.
std::optional<QuotaRefusal> Over(const Amount& amount) {
  if (amount.limit == 0) return std::nullopt;
  const auto limit = static_cast<double>(amount.limit);
  const double over = amount.used + amount.wanted - limit;
  if (over <= 0) return std::nullopt;
  std::string reason = "over the quota of " + std::to_string(amount.limit) + " " + std::string(amount.what) +
                       " a minute of this identity";
  if (amount.wanted > limit) reason += ": this request alone asks for more; split it";
  const double wait = std::ceil(std::min(over, limit) / limit * kMillisPerMinute);
  return QuotaRefusal{.reason = std::move(reason), .retry_after = Millis(static_cast<std::int64_t>(wait))};
}

double Refilled(double used, std::uint64_t limit, double minutes) {
  return std::max(0.0, used - static_cast<double>(limit) * minutes);
}

}  // namespace

void Quotas::Refill(Used& used) const {
  const SteadyTime now = clock_.SteadyNow();
  const double minutes =
      static_cast<double>(std::chrono::duration_cast<Millis>(now - used.at).count()) / kMillisPerMinute;
  used.at = now;
  used.requests = Refilled(used.requests, limits_.requests_per_minute, minutes);
  used.rows = Refilled(used.rows, limits_.rows_per_minute, minutes);
  used.bytes = Refilled(used.bytes, limits_.bytes_per_minute, minutes);
}

void Quotas::ForgetIdle() {
  for (auto entry = used_.begin(); entry != used_.end();) {
    Used& used = entry->second;
    Refill(used);
    const bool idle = used.under_way == 0 && used.requests <= 0 && used.rows <= 0 && used.bytes <= 0;
    entry = idle ? used_.erase(entry) : std::next(entry);
  }
}

Quotas::Used* Quotas::Find(const std::string& identity) {
  if (const auto found = used_.find(identity); found != used_.end()) {
    Refill(found->second);
    return &found->second;
  }
  if (used_.size() >= limits_.max_identities) ForgetIdle();
  if (used_.size() >= limits_.max_identities) return nullptr;
  Used& fresh = used_[identity];
  fresh.at = clock_.SteadyNow();
  return &fresh;
}

std::expected<Quotas::Place, QuotaRefusal> Quotas::Admit(std::string_view identity, std::uint64_t body_bytes) {
  std::string name(identity);
  const std::scoped_lock lock(mutex_);
  Used* const used = Find(name);
  if (used == nullptr) return std::unexpected(QuotaRefusal{.reason = "too many identities ask at the moment"});
  if (limits_.concurrent > 0 && used->under_way >= limits_.concurrent) {
    return std::unexpected(QuotaRefusal{.reason = "this identity has " + std::to_string(limits_.concurrent) +
                                                  " requests under way, as many as it may"});
  }
  const auto bytes = static_cast<double>(body_bytes);
  auto over = Over({.limit = limits_.requests_per_minute, .used = used->requests, .wanted = 1, .what = "requests"});
  if (!over) over = Over({.limit = limits_.bytes_per_minute, .used = used->bytes, .wanted = bytes, .what = "bytes"});
  if (over) return std::unexpected(*std::move(over));
  used->requests += limits_.requests_per_minute > 0 ? 1 : 0;
  used->bytes += limits_.bytes_per_minute > 0 ? bytes : 0;
  ++used->under_way;
  return Place(*this, std::move(name));
}

std::expected<void, QuotaRefusal> Quotas::Place::TakeRows(std::uint64_t rows) {
  const std::scoped_lock lock(quotas_->mutex_);
  Used& used = quotas_->used_.at(identity_);  // under way, so it is not forgotten
  quotas_->Refill(used);
  const std::uint64_t limit = quotas_->limits_.rows_per_minute;
  const auto wanted = static_cast<double>(rows);
  if (auto over = Over({.limit = limit, .used = used.rows, .wanted = wanted, .what = "rows"}))
    return std::unexpected(*std::move(over));
  used.rows += limit > 0 ? wanted : 0;
  return {};
}

void Quotas::Leave(const std::string& identity) {
  const std::scoped_lock lock(mutex_);
  --used_.at(identity).under_way;
}

}  // namespace tacit::serving
