#include "common/base/host.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

namespace tacit {
namespace {

constexpr std::size_t kLongestName = 253;
constexpr std::size_t kLongestLabel = 63;

using BinaryAddress = std::array<std::uint8_t, sizeof(in6_addr)>;

bool ParsesAs(int family, std::string_view text, BinaryAddress& binary) {
  return text.find('\0') == std::string_view::npos &&
         ::inet_pton(family, std::string(text).c_str(), binary.data()) == 1;
}

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

bool IsLabel(std::string_view label) {
  const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || IsDigit(c) || c == '-'; };
  return !label.empty() && label.size() <= kLongestLabel && std::ranges::all_of(label, fits) && label.front() != '-' &&
         label.back() != '-';
}

bool IsName(std::string_view text) {
  if (text.size() > kLongestName) return false;
  for (;;) {
    const std::size_t dot = text.find('.');
    const std::string_view label = text.substr(0, dot);
    if (!IsLabel(label)) return false;
    if (dot == std::string_view::npos) return !std::ranges::all_of(label, IsDigit);
    text.remove_prefix(dot + 1);
  }
}

}  // namespace

HostKind KindOfHost(std::string_view text) {
  BinaryAddress binary{};
  if (ParsesAs(AF_INET, text, binary)) return HostKind::kIpv4;
  if (ParsesAs(AF_INET6, text, binary)) return HostKind::kIpv6;
  return IsName(text) ? HostKind::kName : HostKind::kNeither;
}

bool IsAddress(std::string_view text) {
  BinaryAddress ignored{};
  return ParsesAs(AF_INET, text, ignored) || ParsesAs(AF_INET6, text, ignored);
}

bool IsWildcardAddress(std::string_view text) {
  BinaryAddress binary{};
  if (!ParsesAs(AF_INET, text, binary) && !ParsesAs(AF_INET6, text, binary)) return false;
  return std::ranges::all_of(binary, [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace tacit
