#pragma once

#include <cstdint>
#include <span>

namespace tacit {

/// A stream of uniform bits. Whether it is fit for noise or keys is said by the implementation
/// (`crypto::OsRandom` is; `SplitMix64` is not).
class BitSource {
 public:
  virtual ~BitSource() = default;
  virtual void Fill(std::span<std::uint8_t> out) = 0;

  [[nodiscard]] std::uint64_t NextU64() {
    std::uint64_t value = 0;
    Fill({reinterpret_cast<std::uint8_t*>(&value), sizeof value});
    return value;
  }
};

/// A seeded generator for reproducible training, initial models and retry jitter. Not for noise, keys or tokens.
/// Source: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators".
class SplitMix64 {
 public:
  using result_type = std::uint64_t;
  explicit SplitMix64(std::uint64_t seed) : state_(seed) {}
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return ~std::uint64_t{0}; }
  result_type operator()() {
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31U);
  }
  /// Uniform in [0, 1) with 53 bits.
  double Uniform() { return static_cast<double>((*this)() >> 11U) * 0x1.0p-53; }
  /// Uniform in [0, bound) without modulo bias; bound > 0.
  std::uint64_t Below(std::uint64_t bound) {
    const std::uint64_t limit = max() - max() % bound;
    std::uint64_t value = (*this)();
    while (value >= limit) value = (*this)();
    return value % bound;
  }

 private:
  std::uint64_t state_;
};

}  // namespace tacit
