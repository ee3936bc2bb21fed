#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "common/base/bytes.h"

namespace tacit::keys {

/// Takes fields off the front of bytes that may be anybody's, as ByteWriter put them there. Once a field is not there,
/// every later one is empty or zero, and `good` says so: callers ask once, at the end.
class ByteReader {
 public:
  explicit ByteReader(ByteSpan bytes) : rest_(bytes) {}

  ByteSpan Take(std::uint64_t size) {
    good_ = good_ && size <= rest_.size();
    if (!good_) return {};
    const ByteSpan taken = rest_.first(static_cast<std::size_t>(size));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  template <std::size_t Size>
  std::array<std::uint8_t, Size> Array() {
    std::array<std::uint8_t, Size> array{};
    const ByteSpan taken = Take(Size);
    std::ranges::copy(taken, array.begin());
    return array;
  }
  template <typename Number>
  Number Little() {
    const ByteSpan taken = Take(sizeof(Number));
    Number number = 0;
    for (std::size_t i = 0; i < taken.size(); ++i) number |= static_cast<Number>(Number{taken[i]} << (8 * i));
    return number;
  }
  /// What ByteWriter::Text wrote, of at most `limit` bytes.
  ByteSpan Text(std::size_t limit) {
    const auto size = Little<std::uint64_t>();
    good_ = good_ && size <= limit;
    return Take(size);
  }

  [[nodiscard]] bool good() const { return good_; }
  /// Whether all was there, and nothing more.
  [[nodiscard]] bool AtEnd() const { return good_ && rest_.empty(); }

 private:
  ByteSpan rest_;
  bool good_ = true;
};

}  // namespace tacit::keys
