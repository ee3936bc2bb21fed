#pragma once

#include <cstddef>
#include <cstdint>

#include "edge_agent/inference/kernel_loops.h"

// The part of the source of all Kernels that goes over one element after another.
namespace tacit::inference::loops {

/// A vector at `from`, or one value everywhere.
template <typename S>
TACIT_INLINE typename S::V LoadOr(const float* from, std::size_t step, std::size_t at, std::size_t left) {
  if (step == 0) return S::Set(*from);
  return left >= S::kWidth ? S::Load(from + at) : S::LoadPart(from + at, left);
}

template <typename S>
TACIT_INLINE void StoreUpTo(float* to, typename S::V vector, std::size_t left) {
  if (left >= S::kWidth) {
    S::Store(to, vector);
  } else {
    S::StorePart(to, vector, left);
  }
}

template <typename S>
TACIT_TARGET void Add(const Elements& e) {
  for (std::size_t at = 0; at < e.count; at += S::kWidth) {
    const std::size_t left = e.count - at;
    const typename S::V sum = LoadOr<S>(e.a, e.a_step, at, left) + LoadOr<S>(e.b, e.b_step, at, left);
    StoreUpTo<S>(e.out + at, Clamped<S>(sum, e.range), left);
  }
}

template <typename S>
TACIT_TARGET void Times(const Elements& e) {
  for (std::size_t at = 0; at < e.count; at += S::kWidth) {
    const std::size_t left = e.count - at;
    const typename S::V product = LoadOr<S>(e.a, e.a_step, at, left) * LoadOr<S>(e.b, e.b_step, at, left);
    StoreUpTo<S>(e.out + at, Clamped<S>(product, e.range), left);
  }
}

template <typename S>
TACIT_TARGET void Clamp(const Elements& e) {
  for (std::size_t at = 0; at < e.count; at += S::kWidth) {
    const std::size_t left = e.count - at;
    StoreUpTo<S>(e.out + at, Clamped<S>(LoadOr<S>(e.a, 1, at, left), e.range), left);
  }
}

/// e^x: x = n ln 2 + r with |r| <= ln 2 / 2, e^r by its series to the seventh power (remainder 5e-9), times 2^n. Below
/// -87.3 the smallest normal float, above 88.7 the largest powers, so that nothing overflows on the way.
template <typename S>
TACIT_INLINE typename S::V Exp(typename S::V x) {
  using V = typename S::V;
  using I = typename S::I;
  x = S::Min(S::Max(x, S::Set(-87.3F)), S::Set(88.3F));
  const V magic = S::Set(12582912.0F);  // 1.5 * 2^23: what is added to it is rounded to a whole number, in its low bits
  const V shifted = S::Fma(x, S::Set(1.44269504F), magic);
  const V n = shifted - magic;
  V r = S::Fma(n, S::Set(-0.693145751953125F), x);  // ln 2 in two parts, the first short enough to be exact times n
  r = S::Fma(n, S::Set(-1.42860677e-6F), r);
  V series = S::Set(1.0F / 5040);
  series = S::Fma(series, r, S::Set(1.0F / 720));
  series = S::Fma(series, r, S::Set(1.0F / 120));
  series = S::Fma(series, r, S::Set(1.0F / 24));
  series = S::Fma(series, r, S::Set(1.0F / 6));
  series = S::Fma(series, r, S::Set(0.5F));
  series = S::Fma(series, r, S::Set(1));
  series = S::Fma(series, r, S::Set(1));
  const I power = __builtin_bit_cast(I, shifted) << 23;
  return __builtin_bit_cast(V, __builtin_bit_cast(I, series) + power);
}

template <typename S>
TACIT_TARGET void Sigmoid(const Elements& e) {
  for (std::size_t at = 0; at < e.count; at += S::kWidth) {
    const std::size_t left = e.count - at;
    const typename S::V power = Exp<S>(S::Set(0) - LoadOr<S>(e.a, 1, at, left));
    StoreUpTo<S>(e.out + at, S::Set(1) / (S::Set(1) + power), left);
  }
}

/// 1 - 2 / (e^2x + 1), and near zero, where that would cancel, the series to the ninth power.
template <typename S>
TACIT_TARGET void Tanh(const Elements& e) {
  using V = typename S::V;
  for (std::size_t at = 0; at < e.count; at += S::kWidth) {
    const std::size_t left = e.count - at;
    const V x = LoadOr<S>(e.a, 1, at, left);
    const V far = S::Set(1) - S::Set(2) / (Exp<S>(x + x) + S::Set(1));
    const V square = x * x;
    V series = S::Set(62.0F / 2835);
    series = S::Fma(series, square, S::Set(-17.0F / 315));
    series = S::Fma(series, square, S::Set(2.0F / 15));
    series = S::Fma(series, square, S::Set(-1.0F / 3));
    const V near = S::Fma(series * square, x, x);
    StoreUpTo<S>(e.out + at, square < S::Set(0.0625F) ? near : far, left);
  }
}

template <typename S>
TACIT_TARGET float Largest(const float* values, std::size_t count) {
  float largest = values[0];
  for (std::size_t i = 1; i < count; ++i) largest = values[i] > largest ? values[i] : largest;
  return largest;
}

template <typename S>
TACIT_TARGET void Softmax(const Elements& e) {
  using V = typename S::V;
  const V largest = S::Set(Largest<S>(e.a, e.count));
  for (std::size_t at = 0; at < e.count; at += S::kWidth) {
    const std::size_t left = e.count - at;
    StoreUpTo<S>(e.out + at, Exp<S>(LoadOr<S>(e.a, 1, at, left) - largest), left);
  }
  float sum = 0;
  for (std::size_t i = 0; i < e.count; ++i) sum += e.out[i];
  const V factor = S::Set(1.0F / sum);
  for (std::size_t at = 0; at < e.count; at += S::kWidth) {
    const std::size_t left = e.count - at;
    StoreUpTo<S>(e.out + at, LoadOr<S>(e.out, 1, at, left) * factor, left);
  }
}

/// Whole numbers, halves to even; of values within 2^22. What is no number becomes `least`.
template <typename S>
TACIT_INLINE typename S::V Rounded(typename S::V value) {
  const typename S::V magic = S::Set(12582912.0F);
  return (value + magic) - magic;
}

template <typename S>
TACIT_INLINE void StoreBytesUpTo(std::uint8_t* to, typename S::V vector, std::size_t left) {
  if (left >= S::kWidth) {
    S::StoreBytes(to, vector);
    return;
  }
  std::uint8_t bytes[S::kWidth];
  S::StoreBytes(bytes, vector);
  std::memcpy(to, bytes, left);
}

template <typename S>
TACIT_TARGET void Quantize(const Bytewise& b) {
  using V = typename S::V;
  for (std::size_t at = 0; at < b.count; at += S::kWidth) {
    const std::size_t left = b.count - at;
    const V units = LoadOr<S>(b.floats, 1, at, left) / S::Set(b.scale);
    const V near = S::Min(S::Max(units, S::Set(-1024)), S::Set(1024));
    const V bytes = Rounded<S>(near) + S::Set(b.zero);
    StoreBytesUpTo<S>(b.bytes + at, S::Min(S::Max(bytes, S::Set(0)), S::Set(255)), left);
  }
}

}  // namespace tacit::inference::loops
