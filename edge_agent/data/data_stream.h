#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/result.h"

namespace tacit::data {

/// The bytes of a data file in order, inflated on the way when they are gzip, however large the file is.
/// Memory: two buffers of 64 KiB. Nothing is taken on the word of a length field.
/// Errors of all reads: kMalformed, `name:byte N: expected ..., found ...`, N counted after inflation.
class DataStream {
 public:
  /// What a stream may give out at most: a gzip bomb ends here.
  static constexpr std::uint64_t kDefaultLimit = std::uint64_t{64} << 30U;

  /// Errors: kNotFound when the file cannot be opened.
  static Result<DataStream> OpenFile(const std::filesystem::path& path, std::uint64_t limit = kDefaultLimit);
  /// Reads `bytes`, which must outlive the stream; `name` stands in error messages.
  static Result<DataStream> FromMemory(ByteSpan bytes, std::string name, std::uint64_t limit = kDefaultLimit);

  DataStream(DataStream&&) noexcept;
  DataStream& operator=(DataStream&&) noexcept;
  ~DataStream();

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::uint64_t offset() const { return offset_; }

  /// Up to `count` next bytes, left in the stream; fewer only at the end. `count` is at most 4096.
  Result<ByteSpan> Peek(std::size_t count);
  /// Fills `out`, or fails naming `what` and how many bytes were missing.
  Result<void> ReadExactly(std::span<std::uint8_t> out, std::string_view what);
  /// The next line without its end (LF or CRLF) in `line`; false at the end. A line over `longest` is an error.
  Result<bool> ReadLine(std::string& line, std::size_t longest);
  Result<bool> AtEnd();

  /// The error that `expected` was not met here.
  [[nodiscard]] std::unexpected<Error> Malformed(std::string_view expected, std::string_view found) const;

 private:
  class Source;
  class MemorySource;
  class FileSource;
  class GzipSource;

  DataStream(std::string name, std::uint64_t limit, std::unique_ptr<Source> source);
  Result<void> InflateIfGzip();
  /// Makes at least one byte available, or says that there is none.
  Result<bool> Refill();
  [[nodiscard]] ByteSpan available() const { return ByteSpan(buffer_).subspan(begin_, end_ - begin_); }
  void Consume(std::size_t count);

  std::string name_;
  std::uint64_t limit_;
  std::unique_ptr<Source> source_;
  Bytes buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::uint64_t offset_ = 0;
};

}  // namespace tacit::data
