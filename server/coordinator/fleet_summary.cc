#include "server/coordinator/fleet_summary.h"

#include <algorithm>

#include "common/base/check.h"

namespace tacit::coordinator {
namespace {

constexpr std::size_t kLongestVersion = 32;
constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz-";
constexpr std::string_view kDigits = "0123456789";

bool HasForm(std::string_view version) {
  const std::size_t space = version.find(' ');
  if (version.size() > kLongestVersion || space == 0 || space >= version.size() - 1) return false;
  const std::string_view number = version.substr(space + 1);
  return version.substr(0, space).find_first_not_of(kLetters) == std::string_view::npos &&
         kDigits.contains(number.front()) && kDigits.contains(number.back()) &&
         number.find_first_not_of("0123456789.") == std::string_view::npos;
}

// The last week matters by days: agents renew from half of a certificate's life on.
constexpr std::array<std::chrono::seconds, 9> kBounds = {
    std::chrono::seconds(0), std::chrono::hours(1), std::chrono::days(1),  std::chrono::days(2), std::chrono::days(4),
    std::chrono::days(7),    std::chrono::days(14), std::chrono::days(30), std::chrono::days(90)};

}  // namespace

AgentVersions::Slot AgentVersions::Find(std::string_view version) const {
  const auto found = std::ranges::find(names_, version);
  return found == names_.end() ? kOther : static_cast<Slot>(kFirst + (found - names_.begin()));
}

AgentVersions::Slot AgentVersions::Add(std::string_view version) {
  if (names_.size() == kMost || !HasForm(version)) return kOther;
  names_.emplace_back(version);
  return static_cast<Slot>(kFirst + names_.size() - 1);
}

void AgentVersions::Move(Slot from, Slot to) {
  if (from != kUnknown) --counts_[from];
  if (to != kUnknown) ++counts_[to];
}

std::map<std::string, std::uint64_t> AgentVersions::Counts() const {
  std::map<std::string, std::uint64_t> counts{{"other", counts_[kOther]}};
  for (std::size_t i = 0; i < names_.size(); ++i) counts.emplace(names_[i], counts_[kFirst + i]);
  return counts;
}

void CertificateEnds::Remove(WallTime end) {
  const auto found = by_hour_.find(HourOf(end));
  TACIT_CHECK(found != by_hour_.end(), "what is removed was added");
  if (--found->second == 0) by_hour_.erase(found);
}

metrics::CertificatesLeft CertificateEnds::Left(WallTime now) const {
  metrics::CertificatesLeft left;
  for (const std::chrono::seconds bound : kBounds) left.within.push_back({static_cast<double>(bound.count()), 0});
  for (const auto& [end, count] : by_hour_) {
    const std::chrono::duration<double> remains = end - now;
    left.certificates += count;
    left.sum_seconds += remains.count() * static_cast<double>(count);
    for (auto& [seconds, certificates] : left.within)
      if (remains.count() <= seconds) certificates += count;
  }
  return left;
}

}  // namespace tacit::coordinator
