#include "common/bundle/canonical_json.h"

#include <algorithm>

#include "common/base/check.h"

namespace tacit::bundle {

bool IsPlain(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; });
}

ObjectWriter& ObjectWriter::Json(std::string_view name, std::string_view value) {
  TACIT_CHECK(last_ < name, "members are written in order");
  if (!last_.empty()) text_ += ',';
  last_ = name;
  text_ += '"';
  text_ += name;
  text_ += "\":";
  text_ += value;
  return *this;
}

ObjectWriter& ObjectWriter::Text(std::string_view name, std::string_view value) {
  TACIT_CHECK(IsPlain(value), "values are checked before they are written");
  return Json(name, '"' + std::string(value) + '"');
}

ObjectWriter& ObjectWriter::Whole(std::string_view name, std::uint64_t value) {
  return Json(name, std::to_string(value));
}

ObjectWriter& ObjectWriter::Digest(std::string_view name, const Digest256& value) {
  return Text(name, ToHex(value));
}

ObjectWriter& ObjectWriter::OptionalDigest(std::string_view name, const std::optional<Digest256>& value) {
  return value ? Digest(name, *value) : *this;
}

std::string ObjectWriter::Take() && {
  return std::move(text_) + '}';
}

std::unexpected<Error> ObjectReader::Wrong(std::string_view name, std::string_view expected) const {
  return Fail(ErrorCode::kMalformed,
              std::string(what_) + ": '" + std::string(name) + "' must be " + std::string(expected));
}

const nlohmann::json* ObjectReader::Find(std::string_view name) const {
  const auto found = object_.find(name);
  return found == object_.end() ? nullptr : &*found;
}

Result<std::string> ObjectReader::Text(std::string_view name) const {
  const nlohmann::json* value = Find(name);
  if (value == nullptr || !value->is_string()) return Wrong(name, "a text");
  return value->get_ref<const std::string&>();
}

Result<std::uint64_t> ObjectReader::Whole(std::string_view name) const {
  const nlohmann::json* value = Find(name);
  // A number with a sign, a fraction or an exponent is of another kind for the library, and so is one over 64 bits.
  if (value == nullptr || !value->is_number_unsigned()) return Wrong(name, "a whole number");
  const auto number = value->get<std::uint64_t>();
  if (number > kMostWhole) return Wrong(name, "below 2^53");
  return number;
}

Result<Digest256> ObjectReader::Digest(std::string_view name) const {
  const nlohmann::json* value = Find(name);
  const auto bytes =
      value != nullptr && value->is_string() ? ParseHex(value->get_ref<const std::string&>()) : Result<Bytes>(Bytes());
  Digest256 digest{};
  if (!bytes || bytes->size() != digest.size()) return Wrong(name, "a SHA-256 digest in hexadecimal");
  std::ranges::copy(*bytes, digest.begin());
  return digest;
}

Result<std::optional<Digest256>> ObjectReader::OptionalDigest(std::string_view name) const {
  if (!Has(name)) return std::nullopt;
  TACIT_TRY(const Digest256 digest, Digest(name));
  return digest;
}

Result<nlohmann::json> ParseObject(std::string_view text, std::string_view what, std::size_t max_bytes) {
  if (text.size() > max_bytes) {
    return Fail(ErrorCode::kTooLarge, std::string(what) + " has " + std::to_string(text.size()) + " bytes, and " +
                                          std::to_string(max_bytes) + " are the most");
  }
  nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Fail(ErrorCode::kMalformed, std::string(what) + " is not a JSON object");
  return json;
}

Result<void> CheckCanonical(std::string_view text, std::string_view canonical, std::string_view what) {
  if (text == canonical) return {};
  const auto differs = std::ranges::mismatch(text, canonical).in1 - text.begin();
  return Fail(ErrorCode::kMalformed,
              std::string(what) + " is not in its canonical form, from byte " + std::to_string(differs) + " on");
}

}  // namespace tacit::bundle
