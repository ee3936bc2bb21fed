#include "dp/staleness.h"

#include <cmath>

#include "common/base/check.h"

namespace tacit::dp {
namespace {

std::uint64_t SquareRoot(std::uint64_t square) {
  auto root = static_cast<std::uint64_t>(std::sqrt(static_cast<double>(square)));
  while (root * root > square) --root;
  while ((root + 1) * (root + 1) <= square) ++root;
  return root;
}

}  // namespace

std::string_view NameOf(StalenessDiscount discount) {
  switch (discount) {
    case StalenessDiscount::kNone:
      return "none";
    case StalenessDiscount::kInverseSqrt:
      return "inverse_sqrt";
    case StalenessDiscount::kInverse:
      return "inverse";
  }
  return "unknown";
}

Share Share::Of(StalenessDiscount discount, std::uint32_t staleness) {
  TACIT_CHECK(staleness <= kMaxStaleness, "what is staler is not taken");
  const std::uint64_t age = std::uint64_t{1} + staleness;
  switch (discount) {
    case StalenessDiscount::kNone:
      break;
    case StalenessDiscount::kInverseSqrt:
      // floor(W / sqrt(age)) is floor(sqrt(floor(W^2 / age))).
      return Share(static_cast<std::uint32_t>(SquareRoot(std::uint64_t{kWhole} * kWhole / age)));
    case StalenessDiscount::kInverse:
      return Share(static_cast<std::uint32_t>(kWhole / age));
  }
  return Share(kWhole);
}

}  // namespace tacit::dp
