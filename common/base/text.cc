#include "common/base/text.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace tacit {
namespace {

std::string FourDigits(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g", value);
  return text.data();
}

}  // namespace

std::string Excerpt(std::string_view text) {
  constexpr std::size_t kLongest = 40;
  std::string shown(text.substr(0, kLongest));
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return "'" + shown + (text.size() > kLongest ? "...'" : "'");
}

std::string RoundedUp(double value) {
  if (std::isinf(value)) return "infinity";
  if (std::isnan(value)) return "-";
  const std::string nearest = FourDigits(value);
  if (std::strtod(nearest.c_str(), nullptr) >= value) return nearest;
  const double last_place = std::pow(10.0, std::floor(std::log10(std::abs(value))) - 3);
  return FourDigits(value + last_place);
}

}  // namespace tacit
