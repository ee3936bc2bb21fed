#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"

namespace tacit::onnx {

/// How a field's content is written. Groups, which nothing has used since 2008, are refused.
enum class WireType : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

/// One field of a message as it was written: which, and its content, of which nothing is read yet.
struct Field {
  std::uint32_t number = 0;
  WireType type = WireType::kVarint;
  std::uint64_t value = 0;  ///< Of a number.
  ByteSpan bytes;           ///< Of everything else.
  std::size_t at = 0;       ///< Where in the file.
};

/// Reads the fields of one message of the protocol buffers' wire format, without taking memory. Source: Protocol
/// Buffers documentation, "Encoding".
class MessageReader {
 public:
  /// `at` is where in the file the message begins, for errors.
  explicit MessageReader(ByteSpan message, std::size_t at = 0) : message_(message), start_(at) {}

  /// The next field; nothing at the end. Errors: kMalformed, naming the byte.
  Result<std::optional<Field>> Next();

  /// The next number of a field that has packed ones. Errors: kMalformed.
  Result<std::uint64_t> Varint();
  [[nodiscard]] bool IsAtEnd() const { return at_ == message_.size(); }

 private:
  Result<ByteSpan> Take(std::uint64_t size);
  [[nodiscard]] std::unexpected<Error> Malformed(const std::string& what) const;

  ByteSpan message_;
  std::size_t start_;
  std::size_t at_ = 0;
};

/// kMalformed for a byte of an ONNX file.
std::unexpected<Error> MalformedAt(std::size_t at, const std::string& what);

/// The message in a field. Errors: kMalformed where it holds a number.
Result<MessageReader> MessageIn(const Field& field);
Result<std::string_view> TextIn(const Field& field);
Result<std::int64_t> IntegerIn(const Field& field);
Result<float> FloatIn(const Field& field);

/// Appends the numbers of a repeated field, which may be one or, packed, many. Errors: kMalformed.
Result<void> AppendIntegers(const Field& field, std::vector<std::int64_t>& integers);
Result<void> AppendFloats(const Field& field, std::vector<float>& floats);

}  // namespace tacit::onnx
