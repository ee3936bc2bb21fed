#include "server/ownership/keyed_words.h"

#include "common/crypto/random.h"

namespace tacit::ownership {

std::vector<std::uint64_t> WordsOf(const crypto::SecretKey& key, std::size_t count) {
  std::vector<std::uint64_t> words((count + 1) / 2 * 2);  // whole blocks
  crypto::AesKeystream(key).Fill(0,
                                 {reinterpret_cast<std::uint8_t*>(words.data()), words.size() * sizeof(std::uint64_t)});
  words.resize(count);
  return words;
}

std::uint64_t Below(std::uint64_t word, std::uint64_t bound) {
  // The high half of the product, put together from halves.
  const std::uint64_t low = (word & 0xffffffffU) * bound;
  return ((word >> 32U) * bound + (low >> 32U)) >> 32U;
}

}  // namespace tacit::ownership
