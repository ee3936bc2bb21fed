#include "dp/random_words.h"

#include "dp/wipe.h"

namespace tacit::dp {

RandomWords::~RandomWords() {
  WipeMemory(words_.data(), sizeof words_);
}

void RandomWords::Refill() {
  source_.Fill({reinterpret_cast<std::uint8_t*>(words_.data()), sizeof words_});
  next_ = 0;
}

}  // namespace tacit::dp
