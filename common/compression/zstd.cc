#include "common/compression/zstd.h"

#include <zstd.h>

#include <cstring>
#include <string>
#include <utility>

#include "common/base/check.h"

namespace tacit {
namespace {

constexpr int kLevel = 1;
constexpr int kWindowLog = 17;
static_assert(Decompressor::kWindowBytes == std::size_t{1} << kWindowLog);

struct FreeCompressor {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

std::unexpected<Error> NoFrame() {
  return Fail(ErrorCode::kMalformed, "the compressed payload is no zstd frame, or it is damaged");
}

// Of the one format that is read: the library may know older ones.
bool BeginsAFrame(ByteSpan input) {
  const std::uint32_t magic = ZSTD_MAGICNUMBER;
  return input.size() >= sizeof magic && std::memcmp(input.data(), &magic, sizeof magic) == 0;
}

}  // namespace

std::optional<Bytes> CompressIfWorthIt(ByteSpan payload) {
  const std::unique_ptr<ZSTD_CCtx, FreeCompressor> context(ZSTD_createCCtx());
  if (!context) return std::nullopt;
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, kLevel);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_windowLog, kWindowLog);
  // Room for no more than is worth it: what does not fit ends there.
  Bytes frame(payload.size() - payload.size() / 16);
  const std::size_t size = ZSTD_compress2(context.get(), frame.data(), frame.size(), payload.data(), payload.size());
  if (ZSTD_isError(size) != 0U || size >= payload.size()) return std::nullopt;
  frame.resize(size);
  return frame;
}

struct Decompressor::Context {
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  std::unique_ptr<ZSTD_DCtx, Free> zstd;
};

Decompressor::Decompressor(std::unique_ptr<Context> context) : context_(std::move(context)) {}
Decompressor::Decompressor(Decompressor&&) noexcept = default;
Decompressor& Decompressor::operator=(Decompressor&&) noexcept = default;
Decompressor::~Decompressor() = default;

Result<Decompressor> Decompressor::Create() {
  auto context = std::make_unique<Context>();
  context->zstd.reset(ZSTD_createDCtx());
  if (!context->zstd) return Fail(ErrorCode::kUnavailable, "there is no memory to unpack the update");
  const std::size_t set = ZSTD_DCtx_setParameter(context->zstd.get(), ZSTD_d_windowLogMax, kWindowLog);
  TACIT_CHECK(ZSTD_isError(set) == 0U, "every version of zstd takes this window");
  return Decompressor(std::move(context));
}

Result<std::size_t> Decompressor::Unpack(ByteSpan& input, std::span<std::uint8_t> output) {
  if (!begun_ && !BeginsAFrame(input)) return NoFrame();
  begun_ = true;
  if (ended_) return 0U;
  ZSTD_inBuffer in{.src = input.data(), .size = input.size(), .pos = 0};
  ZSTD_outBuffer out{.dst = output.data(), .size = output.size(), .pos = 0};
  const std::size_t left = ZSTD_decompressStream(context_->zstd.get(), &out, &in);
  if (ZSTD_isError(left) != 0U) return NoFrame();
  input = input.subspan(in.pos);
  ended_ = left == 0;
  return out.pos;
}

std::size_t Decompressor::memory() const {
  return ZSTD_sizeof_DCtx(context_->zstd.get());
}

}  // namespace tacit
