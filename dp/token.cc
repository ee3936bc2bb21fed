#include "dp/token.h"

namespace tacit::dp {

ReleaseToken NoPrivacyToken(const NoPrivacyTerms& terms) {
  return ReleaseToken(ReleaseTerms{.round = terms.round,
                                   .mechanism = Mechanism::kNone,
                                   .noise_multiplier = std::nullopt,
                                   .clip_norm = terms.clip_norm,
                                   .grid_radius = terms.grid_radius,
                                   .divisor = terms.divisor});
}

}  // namespace tacit::dp
