#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "common/base/bytes.h"

namespace tacit::detect {

/// Reads little-endian fields from foreign bytes. The first one that is not there, or out of its range, is what is
/// reported; all that is read after it is zero, so the result is looked at once, at the end.
class ByteReader {
 public:
  explicit ByteReader(ByteSpan bytes) : bytes_(bytes) {}

  template <typename Number>
  Number Take() {
    Number value{};
    if (failed_ || bytes_.size() - at_ < sizeof value) {
      Refuse("ends early");
      return value;
    }
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }

  /// A number of elements, each at least `size` bytes long: never more than the rest can hold.
  std::size_t Count(std::size_t most, std::size_t size) {
    const auto count = Take<std::uint32_t>();
    if (count > most || count > (bytes_.size() - at_) / size) {
      Refuse("has more elements than it may, or than its bytes hold");
      return 0;
    }
    return count;
  }

  template <typename Number>
  std::vector<Number> Numbers(std::size_t most) {
    std::vector<Number> values(Count(most, sizeof(Number)));
    for (Number& value : values) value = Take<Number>();
    return values;
  }

  /// Whether a flag of one byte is set.
  bool Flag() {
    const auto flag = Take<std::uint8_t>();
    if (flag > 1) Refuse("has a flag that is neither 0 nor 1");
    return flag == 1;
  }

  void Require(bool holds, const char* what) {
    if (!holds) Refuse(what);
  }
  void Refuse(const char* what) {
    if (!failed_) what_ = std::string("at byte ") + std::to_string(at_) + " " + what;
    failed_ = true;
    at_ = bytes_.size();
  }

  /// What was wrong first. Errors: kMalformed; also where bytes are left over.
  [[nodiscard]] Result<void> Done(const char* subject) {
    Require(at_ == bytes_.size(), "goes on behind its end");
    if (failed_) return Fail(ErrorCode::kMalformed, std::string(subject) + " " + what_);
    return {};
  }
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  ByteSpan bytes_;
  std::size_t at_ = 0;
  bool failed_ = false;
  std::string what_;
};

}  // namespace tacit::detect
