#include "edge_agent/data/data_stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <zlib.h>

#include "common/base/check.h"
#include "common/base/files.h"

namespace tacit::data {
namespace {

constexpr std::size_t kBufferBytes = 64 * 1024;
constexpr std::size_t kLongestPeek = 4096;

}  // namespace

class DataStream::Source {
 public:
  virtual ~Source() = default;
  /// Puts some of the next bytes in `out`; 0 only at the end.
  virtual Result<std::size_t> Read(std::span<std::uint8_t> out) = 0;
};

class DataStream::MemorySource final : public Source {
 public:
  explicit MemorySource(ByteSpan bytes) : rest_(bytes) {}

  Result<std::size_t> Read(std::span<std::uint8_t> out) override {
    const std::size_t count = std::min(out.size(), rest_.size());
    std::ranges::copy(rest_.first(count), out.begin());
    rest_ = rest_.subspan(count);
    return count;
  }

 private:
  ByteSpan rest_;
};

class DataStream::FileSource final : public Source {
 public:
  FileSource(int descriptor, std::string name) : descriptor_(descriptor), name_(std::move(name)) {}
  ~FileSource() override { ::close(descriptor_); }
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  Result<std::size_t> Read(std::span<std::uint8_t> out) override {
    while (true) {
      const ssize_t count = ::read(descriptor_, out.data(), out.size());
      if (count >= 0) return static_cast<std::size_t>(count);
      if (errno != EINTR) {
        return Fail(ErrorCode::kUnavailable, name_ + ": cannot be read: " + std::generic_category().message(errno));
      }
    }
  }

 private:
  int descriptor_;
  std::string name_;
};

// Inflates one or more gzip members. `head` are bytes already taken from `source`.
class DataStream::GzipSource final : public Source {
 public:
  GzipSource(std::unique_ptr<Source> source, ByteSpan head, std::string name)
      : source_(std::move(source)), input_(std::max(kBufferBytes, head.size())), name_(std::move(name)) {
    std::ranges::copy(head, input_.begin());
    zlib_.next_in = input_.data();
    zlib_.avail_in = static_cast<uInt>(head.size());
    // 15 window bits, +16: gzip framing only, so that its checksum is checked.
    ready_ = inflateInit2(&zlib_, 15 + 16) == Z_OK;
  }
  ~GzipSource() override { inflateEnd(&zlib_); }
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;

  Result<std::size_t> Read(std::span<std::uint8_t> out) override {
    if (!ready_) return Fail(ErrorCode::kUnavailable, name_ + ": no memory to inflate");
    zlib_.next_out = out.data();
    zlib_.avail_out = static_cast<uInt>(out.size());
    while (zlib_.avail_out == out.size()) {
      TACIT_TRY(const bool more, RefillInput());
      if (!more && between_members_) return std::size_t{0};
      if (!more) return Corrupt("the end of the file");
      TACIT_TRY_VOID(InflateSome());
    }
    return out.size() - zlib_.avail_out;
  }

 private:
  Result<bool> RefillInput() {
    if (zlib_.avail_in > 0) return true;
    TACIT_TRY(const std::size_t count, source_->Read(input_));
    zlib_.next_in = input_.data();
    zlib_.avail_in = static_cast<uInt>(count);
    return count > 0;
  }

  Result<void> InflateSome() {
    between_members_ = false;
    const int status = inflate(&zlib_, Z_NO_FLUSH);
    if (status == Z_STREAM_END) {
      between_members_ = true;
      inflateReset(&zlib_);
      return {};
    }
    if (status == Z_OK || status == Z_BUF_ERROR) return {};
    return Corrupt(zlib_.msg == nullptr ? "damaged data" : zlib_.msg);
  }

  [[nodiscard]] std::unexpected<Error> Corrupt(std::string_view found) const {
    return Fail(ErrorCode::kMalformed,
                name_ + ": expected gzip data, found " + std::string(found) + "; the file is cut or damaged");
  }

  std::unique_ptr<Source> source_;
  Bytes input_;
  std::string name_;
  z_stream zlib_ = {};
  bool ready_ = false;
  bool between_members_ = false;
};

DataStream::DataStream(std::string name, std::uint64_t limit, std::unique_ptr<Source> source)
    : name_(std::move(name)), limit_(limit), source_(std::move(source)), buffer_(kBufferBytes) {}

DataStream::DataStream(DataStream&&) noexcept = default;
DataStream& DataStream::operator=(DataStream&&) noexcept = default;
DataStream::~DataStream() = default;

Result<DataStream> DataStream::OpenFile(const std::filesystem::path& path, std::uint64_t limit) {
  TACIT_TRY(const int descriptor, OpenToRead(path));
  DataStream stream(path.string(), limit, std::make_unique<FileSource>(descriptor, path.string()));
  TACIT_TRY_VOID(stream.InflateIfGzip());
  return stream;
}

Result<DataStream> DataStream::FromMemory(ByteSpan bytes, std::string name, std::uint64_t limit) {
  DataStream stream(std::move(name), limit, std::make_unique<MemorySource>(bytes));
  TACIT_TRY_VOID(stream.InflateIfGzip());
  return stream;
}

// Content decides, not the file's name: renamed files are common, and the first two bytes cannot start NPY, IDX or a
// CSV of ours.
Result<void> DataStream::InflateIfGzip() {
  TACIT_TRY(const ByteSpan head, Peek(2));
  if (head.size() < 2 || head[0] != 0x1f || head[1] != 0x8b) return {};
  source_ = std::make_unique<GzipSource>(std::move(source_), available(), name_);
  begin_ = end_ = 0;
  return {};
}

Result<bool> DataStream::Refill() {
  if (begin_ == end_) begin_ = end_ = 0;
  if (end_ == buffer_.size()) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= std::exchange(begin_, 0);
  }
  TACIT_TRY(const std::size_t count, source_->Read(std::span(buffer_).subspan(end_)));
  end_ += count;
  if (offset_ + (end_ - begin_) > limit_) {
    return Fail(ErrorCode::kTooLarge, name_ + ": holds more than the " + std::to_string(limit_) + " bytes allowed");
  }
  return count > 0;
}

void DataStream::Consume(std::size_t count) {
  begin_ += count;
  offset_ += count;
}

Result<ByteSpan> DataStream::Peek(std::size_t count) {
  TACIT_CHECK(count <= kLongestPeek, "only magic numbers are peeked at");
  bool more = true;
  while (more && available().size() < count) {
    TACIT_TRY(more, Refill());
  }
  return available().first(std::min(count, available().size()));
}

Result<void> DataStream::ReadExactly(std::span<std::uint8_t> out, std::string_view what) {
  std::size_t done = 0;
  while (done < out.size()) {
    if (available().empty()) {
      TACIT_TRY(const bool more, Refill());
      if (!more) {
        return Malformed(std::to_string(out.size() - done) + " more bytes of " + std::string(what),
                         "the end of the file");
      }
    }
    const std::size_t count = std::min(out.size() - done, available().size());
    std::ranges::copy(available().first(count), out.begin() + static_cast<std::ptrdiff_t>(done));
    Consume(count);
    done += count;
  }
  return {};
}

Result<bool> DataStream::ReadLine(std::string& line, std::size_t longest) {
  line.clear();
  TACIT_TRY(const bool at_end, AtEnd());
  if (at_end) return false;
  while (true) {
    const std::string_view text = AsText(available());
    const std::size_t newline = text.find('\n');
    const std::size_t count = std::min(newline, text.size());
    if (line.size() + count > longest)
      return Malformed("a line of at most " + std::to_string(longest) + " bytes", "a longer one");
    line += text.substr(0, count);
    Consume(count);
    if (newline != std::string_view::npos) {
      Consume(1);
      break;
    }
    TACIT_TRY(const bool more, Refill());
    if (!more) break;
  }
  if (line.ends_with('\r')) line.pop_back();
  return true;
}

Result<bool> DataStream::AtEnd() {
  if (!available().empty()) return false;
  TACIT_TRY(const bool more, Refill());
  return !more;
}

std::unexpected<Error> DataStream::Malformed(std::string_view expected, std::string_view found) const {
  return Fail(ErrorCode::kMalformed, name_ + ":byte " + std::to_string(offset_) + ": expected " +
                                         std::string(expected) + ", found " + std::string(found));
}

}  // namespace tacit::data
