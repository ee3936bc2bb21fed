#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/bytes.h"

namespace tacit::testing {

/// What ParseBase64Url takes back.
inline std::string Base64Url(ByteSpan bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t size = std::min<std::size_t>(3, bytes.size() - at);
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i) group = (group << 8U) | (i < size ? bytes[at + i] : 0U);
    for (std::size_t i = 0; i <= size; ++i) text += kDigits[(group >> (18 - 6 * i)) & 63U];
  }
  return text;
}
inline std::string Base64Url(std::string_view text) {
  return Base64Url(AsBytes(text));
}

}  // namespace tacit::testing
