#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/result.h"

/// Checks of single fields, shared by the parsers of this directory.
namespace tacit::codec {

/// Errors: kInvalidArgument: "<field> must be ...".
Result<void> FieldError(std::string_view field, std::string_view rule);

struct TextRule {
  std::size_t min_bytes = 0;
  std::size_t max_bytes = 0;
  bool token_characters_only = false;  ///< Printable ASCII without spaces; otherwise with spaces and line ends.
};
Result<void> CheckText(std::string_view field, std::string_view text, TextRule rule);

/// `text` with '?' for every byte that CheckText would refuse.
std::string PrintableText(std::string text);

struct RealRule {
  double low = 0;
  bool low_included = true;
  double high = 0;
  bool high_included = true;
};
/// Refuses NaN and infinity too.
Result<void> CheckReal(std::string_view field, double value, RealRule rule);

/// Whether low <= value <= high.
template <std::unsigned_integral T>
Result<void> CheckRange(std::string_view field, T value, T low, T high) {
  if (value >= low && value <= high) return {};
  return FieldError(field,
                    "from " + std::to_string(low) + " to " + std::to_string(high) + ", not " + std::to_string(value));
}

/// `bytes` as a digest of exactly its length.
template <typename Digest>
Result<Digest> ParseDigest(std::string_view field, std::string_view bytes) {
  Digest digest;
  if (bytes.size() != digest.size()) {
    return Fail(ErrorCode::kInvalidArgument, std::string(field) + " must be " + std::to_string(digest.size()) +
                                                 " bytes, not " + std::to_string(bytes.size()));
  }
  std::ranges::copy(AsBytes(bytes), digest.begin());
  return digest;
}

}  // namespace tacit::codec
