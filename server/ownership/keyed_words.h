#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/crypto/secret.h"

namespace tacit::ownership {

/// The first `count` words of 64 bits of the stream that a key stands for: the same on every machine.
std::vector<std::uint64_t> WordsOf(const crypto::SecretKey& key, std::size_t count);

/// A word as a number below `bound`, each as likely as any other to within bound / 2^64.
/// Source: Lemire 2019, "Fast random integer generation in an interval", section 3.
std::uint64_t Below(std::uint64_t word, std::uint64_t bound);

}  // namespace tacit::ownership
