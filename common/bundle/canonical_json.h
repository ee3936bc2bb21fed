#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "common/base/bytes.h"

// JSON that has one text for one meaning: what is signed is compared byte by byte with what its reader would have
// written, so no two readers can make different things of it. Private to common/bundle.
namespace tacit::bundle {

/// The largest number that every reader of JSON holds exactly. Source: RFC 7493, section 2.2.
inline constexpr std::uint64_t kMostWhole = (std::uint64_t{1} << 53U) - 1;

/// Whether `text` stands in JSON as it is: printable ASCII without '"' and '\\'.
bool IsPlain(std::string_view text);

/// Writes one object: members in ascending order of their names, no spaces, no escapes.
class ObjectWriter {
 public:
  /// `value` is plain.
  ObjectWriter& Text(std::string_view name, std::string_view value);
  ObjectWriter& Whole(std::string_view name, std::uint64_t value);
  /// In hexadecimal.
  ObjectWriter& Digest(std::string_view name, const Digest256& value);
  ObjectWriter& OptionalDigest(std::string_view name, const std::optional<Digest256>& value);
  /// A value that is canonical JSON already.
  ObjectWriter& Json(std::string_view name, std::string_view value);
  [[nodiscard]] std::string Take() &&;

 private:
  std::string text_ = "{";
  std::string last_;
};

/// Reads members of an object that must be there, and says which of them is not as it must be.
class ObjectReader {
 public:
  /// `what` names the object in messages; both outlive the reader.
  ObjectReader(const nlohmann::json& object, std::string_view what) : object_(object), what_(what) {}

  [[nodiscard]] Result<std::string> Text(std::string_view name) const;
  /// At most kMostWhole.
  [[nodiscard]] Result<std::uint64_t> Whole(std::string_view name) const;
  [[nodiscard]] Result<Digest256> Digest(std::string_view name) const;
  [[nodiscard]] Result<std::optional<Digest256>> OptionalDigest(std::string_view name) const;
  [[nodiscard]] bool Has(std::string_view name) const { return object_.contains(name); }

 private:
  [[nodiscard]] std::unexpected<Error> Wrong(std::string_view name, std::string_view expected) const;
  [[nodiscard]] const nlohmann::json* Find(std::string_view name) const;

  const nlohmann::json& object_;
  std::string_view what_;
};

/// Errors: kTooLarge over `max_bytes`; kMalformed for what is no JSON object.
Result<nlohmann::json> ParseObject(std::string_view text, std::string_view what, std::size_t max_bytes);

/// Whether `text` is what its meaning is written as. Errors: kMalformed, with the first byte that differs.
Result<void> CheckCanonical(std::string_view text, std::string_view canonical, std::string_view what);

}  // namespace tacit::bundle
