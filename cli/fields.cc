#include "cli/fields.h"

#include <cmath>
#include <limits>

#include "cli/text.h"
#include "common/base/text.h"

namespace tacit::cli {

Json FiniteOrNull(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

const Json& MemberAt(const Json& object, std::string_view key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

std::string TextAt(const Json& object, std::string_view key) {
  const Json& value = MemberAt(object, key);
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null() || value.is_structured()) return "-";
  return value.dump();
}

double NumberAt(const Json& object, std::string_view key, double fallback) {
  const Json& value = MemberAt(object, key);
  return value.is_number() ? value.get<double>() : fallback;
}

std::uint64_t CountAt(const Json& object, std::string_view key) {
  const Json& value = MemberAt(object, key);
  return value.is_number_unsigned() ? value.get<std::uint64_t>() : 0;
}

std::string ShortNumberAt(const Json& object, std::string_view key) {
  return FormatNumber(NumberAt(object, key, std::numeric_limits<double>::quiet_NaN()));
}

std::string CostAt(const Json& object, std::string_view key) {
  return RoundedUp(NumberAt(object, key, std::numeric_limits<double>::quiet_NaN()));
}

}  // namespace tacit::cli
