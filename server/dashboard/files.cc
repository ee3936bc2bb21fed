#include "server/dashboard/files.h"

#include <cstdint>

#include <zlib.h>

#include "common/base/check.h"

namespace tacit::dashboard {
namespace {

constexpr std::size_t kTrailerBytes = 8;
constexpr int kGzipOnly = 15 + 16;  // 15 bits of window, 16 for gzip's framing with its checksum

// The length before packing stands in the last four bytes. Source: RFC 1952, section 2.3.1.
std::size_t LengthOf(std::string_view gzip) {
  TACIT_CHECK(gzip.size() > kTrailerBytes, "a gzip member has a trailer");
  std::uint32_t length = 0;
  for (std::size_t i = 0; i < 4; ++i)
    length |= std::uint32_t{static_cast<unsigned char>(gzip[gzip.size() - 4 + i])} << (8 * i);
  return length;
}

}  // namespace

std::string Unpack(std::string_view gzip) {
  std::string text(LengthOf(gzip), '\0');
  std::string input(gzip);  // zlib's input is not const
  z_stream stream{};
  TACIT_CHECK(inflateInit2(&stream, kGzipOnly) == Z_OK, "there is memory at the start of the program");
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  const int status = inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  TACIT_CHECK(status == Z_STREAM_END && stream.avail_out == 0, "the build embeds whole gzip members");
  return text;
}

}  // namespace tacit::dashboard
