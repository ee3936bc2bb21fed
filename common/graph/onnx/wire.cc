#include "common/graph/onnx/wire.h"

#include <bit>
#include <cstring>

namespace tacit::onnx {

std::unexpected<Error> MalformedAt(std::size_t at, const std::string& what) {
  return Fail(ErrorCode::kMalformed, "ONNX file, byte " + std::to_string(at) + ": " + what);
}

std::unexpected<Error> MessageReader::Malformed(const std::string& what) const {
  return MalformedAt(start_ + at_, what);
}

Result<std::uint64_t> MessageReader::Varint() {
  constexpr unsigned kMostBits = 64;
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < kMostBits; shift += 7) {
    if (at_ == message_.size()) return Malformed("a number is cut off");
    const std::uint8_t byte = message_[at_++];
    const std::uint64_t bits = byte & 0x7FU;
    if (shift == 63 && bits > 1) return Malformed("a number does not fit 64 bits");
    value |= bits << shift;
    if ((byte & 0x80U) == 0) return value;
  }
  return Malformed("a number does not fit 64 bits");
}

Result<ByteSpan> MessageReader::Take(std::uint64_t size) {
  if (size > message_.size() - at_) return Malformed("a field is longer than what it stands in");
  const ByteSpan bytes = message_.subspan(at_, static_cast<std::size_t>(size));
  at_ += bytes.size();
  return bytes;
}

Result<std::optional<Field>> MessageReader::Next() {
  if (at_ == message_.size()) return std::nullopt;
  Field field;
  TACIT_TRY(const std::uint64_t tag, Varint());
  constexpr std::uint64_t kMostFields = (1U << 29U) - 1;
  if (tag >> 3U == 0 || tag >> 3U > kMostFields) return Malformed("expected a field, which is none");
  field.number = static_cast<std::uint32_t>(tag >> 3U);
  field.type = static_cast<WireType>(tag & 7U);
  field.at = start_ + at_;
  switch (field.type) {
    case WireType::kVarint: {
      TACIT_TRY(field.value, Varint());
      return field;
    }
    case WireType::kFixed64: {
      TACIT_TRY(field.bytes, Take(8));
      return field;
    }
    case WireType::kFixed32: {
      TACIT_TRY(field.bytes, Take(4));
      return field;
    }
    case WireType::kBytes: {
      TACIT_TRY(const std::uint64_t size, Varint());
      field.at = start_ + at_;
      TACIT_TRY(field.bytes, Take(size));
      return field;
    }
  }
  return Malformed("a field is of no known wire type");
}

namespace {

std::unexpected<Error> WrongType(const Field& field) {
  return MalformedAt(field.at, "field " + std::to_string(field.number) + " is of another wire type than in ONNX");
}

}  // namespace

Result<MessageReader> MessageIn(const Field& field) {
  if (field.type != WireType::kBytes) return WrongType(field);
  return MessageReader(field.bytes, field.at);
}

Result<std::string_view> TextIn(const Field& field) {
  if (field.type != WireType::kBytes) return WrongType(field);
  return AsText(field.bytes);
}

Result<std::int64_t> IntegerIn(const Field& field) {
  if (field.type != WireType::kVarint) return WrongType(field);
  return std::bit_cast<std::int64_t>(field.value);
}

Result<float> FloatIn(const Field& field) {
  if (field.type != WireType::kFixed32) return WrongType(field);
  float value = 0;
  std::memcpy(&value, field.bytes.data(), sizeof value);
  return value;
}

Result<void> AppendIntegers(const Field& field, std::vector<std::int64_t>& integers) {
  if (field.type != WireType::kBytes) {
    TACIT_TRY(integers.emplace_back(), IntegerIn(field));
    return {};
  }
  MessageReader packed(field.bytes, field.at);
  while (!packed.IsAtEnd()) {
    TACIT_TRY(const std::uint64_t value, packed.Varint());
    integers.push_back(std::bit_cast<std::int64_t>(value));
  }
  return {};
}

Result<void> AppendFloats(const Field& field, std::vector<float>& floats) {
  if (field.type != WireType::kBytes) {
    TACIT_TRY(floats.emplace_back(), FloatIn(field));
    return {};
  }
  if (field.bytes.size() % sizeof(float) != 0) return MalformedAt(field.at, "packed floats are cut off");
  const std::size_t before = floats.size();
  floats.resize(before + field.bytes.size() / sizeof(float));
  if (!field.bytes.empty()) std::memcpy(floats.data() + before, field.bytes.data(), field.bytes.size());
  return {};
}

}  // namespace tacit::onnx
