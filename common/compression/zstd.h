#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "common/base/bytes.h"
#include "common/base/result.h"

/// The only code that knows zstd: payloads that travel compressed, one frame each.
namespace tacit {

/// The frame of a payload, at the level that is about as fast as memory; nothing where it would not be a sixteenth
/// smaller at least.
/// Cost: a pass over the payload, and at most as much memory as it takes.
std::optional<Bytes> CompressIfWorthIt(ByteSpan payload);

/// Unpacks one frame as it arrives, straight to where it stays.
/// Guarantee: never writes beyond the output that it is given, and takes no more than kMemoryBytes, whatever comes: a
///   frame that looks back further than kWindowBytes is refused. No dictionary, no frame of an older format.
class Decompressor {
 public:
  static constexpr std::size_t kWindowBytes = std::size_t{1} << 17U;
  /// With room to spare: zstd 1.5.4 takes 606 KiB for its window, two blocks and its tables (a test measures it).
  static constexpr std::size_t kMemoryBytes = std::size_t{640} * 1024;

  /// Errors: kUnavailable when there is no memory for it.
  static Result<Decompressor> Create();
  Decompressor(Decompressor&&) noexcept;
  Decompressor& operator=(Decompressor&&) noexcept;
  ~Decompressor();

  /// Unpacks from the front of `input`, which moves on, into the front of `output`; gives how many bytes were written.
  /// Less than the output, and the input used up: it needs more. Shape: the first input has four bytes at least.
  /// Errors: kMalformed for what is no frame, or a damaged one; then it is good for nothing more.
  Result<std::size_t> Unpack(ByteSpan& input, std::span<std::uint8_t> output);
  /// Whether the frame is at its end and all of it written. Nothing is unpacked after it.
  [[nodiscard]] bool ended() const { return ended_; }

  /// What it takes now. Units: bytes.
  [[nodiscard]] std::size_t memory() const;

 private:
  struct Context;
  explicit Decompressor(std::unique_ptr<Context> context);
  std::unique_ptr<Context> context_;
  bool begun_ = false;
  bool ended_ = false;
};

}  // namespace tacit
