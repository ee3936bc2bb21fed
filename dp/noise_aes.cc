#include "dp/noise_kernels.h"
#include "dp/wipe.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define TACIT_AES __attribute__((target("aes")))
#define TACIT_AES_INLINE __attribute__((target("aes"), always_inline)) inline

namespace tacit::dp {
namespace {

TACIT_AES_INLINE __m128i* At(Keystream::Block& block) {
  return reinterpret_cast<__m128i*>(block.data());
}

template <int kRoundConstant>
TACIT_AES_INLINE void NextRoundKey(Keystream::Block* key) {
  __m128i next = _mm_load_si128(At(*key));
  const __m128i assist = _mm_shuffle_epi32(_mm_aeskeygenassist_si128(next, kRoundConstant), 0xff);
  next = _mm_xor_si128(next, _mm_slli_si128(next, 4));
  next = _mm_xor_si128(next, _mm_slli_si128(next, 8));
  _mm_store_si128(At(key[1]), _mm_xor_si128(next, assist));
}

/// Source: FIPS 197, section 5.2.
TACIT_AES void Expand(Keystream::Block* keys) {
  NextRoundKey<0x01>(keys);
  NextRoundKey<0x02>(keys + 1);
  NextRoundKey<0x04>(keys + 2);
  NextRoundKey<0x08>(keys + 3);
  NextRoundKey<0x10>(keys + 4);
  NextRoundKey<0x20>(keys + 5);
  NextRoundKey<0x40>(keys + 6);
  NextRoundKey<0x80>(keys + 7);
  NextRoundKey<0x1b>(keys + 8);
  NextRoundKey<0x36>(keys + 9);
}

}  // namespace

AesRoundKeys::AesRoundKeys(const Keystream::Block& key) {
  keys_[0] = key;
  Expand(keys_.data());
}

AesRoundKeys::~AesRoundKeys() {
  WipeMemory(keys_.data(), sizeof keys_);
}

}  // namespace tacit::dp

#endif
