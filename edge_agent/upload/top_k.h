#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "common/base/bytes.h"

namespace tacit::upload {

/// The entries of a vector that are largest in magnitude.
struct TopK {
  std::vector<float> values;  ///< In the order of their entries.
  Bytes bitmap;               ///< A bit for each entry, the lowest of a byte first: one where it is among them.
};

/// Takes the `k` largest entries out of the vector, in which they are zero afterwards. Of equals the first; zeros where
/// there are no more than that, so that how many are taken says nothing of them.
/// Shape: 1 <= k <= entries, all of them finite.
/// Cost: a few passes over memory, and 4 bytes for each entry.
/// Source: Seide et al. 2014 and Stich et al. 2018, of what is left unsent.
TopK TakeTopK(std::span<float> entries, std::size_t k);

}  // namespace tacit::upload
