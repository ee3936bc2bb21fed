#include "edge_agent/keys/version_record.h"

#include <string_view>
#include <utility>

#include "common/base/check.h"
#include "common/crypto/digest.h"
#include "edge_agent/keys/byte_reader.h"

namespace tacit::keys {
namespace {

constexpr std::string_view kVersionsMagic = "TACITVR1";

}  // namespace

Bytes FormatVersionRecord(const VersionRecord& record, const crypto::SecretKey& mac_key) {
  TACIT_CHECK(record.versions.size() <= kMostModels, "whoever adds a model looks how many there are");
  ByteWriter writer;
  writer.Raw(AsBytes(kVersionsMagic)).U64(record.counter).U32(static_cast<std::uint32_t>(record.versions.size()));
  for (const auto& [model, version] : record.versions) writer.Text(model).U64(version);
  const crypto::SecretKey mac = mac_key.Derive(writer.bytes());
  writer.Raw(mac.bytes());
  return std::move(writer).Take();
}

Result<VersionRecord> ParseVersionFields(ByteSpan fields) {
  ByteReader reader(fields);
  if (AsText(reader.Take(kVersionsMagic.size())) != kVersionsMagic)
    return Fail(ErrorCode::kDataLoss, "is no record of versions");
  VersionRecord record{.counter = reader.Little<std::uint64_t>(), .versions = {}};
  const auto count = reader.Little<std::uint32_t>();
  if (count > kMostModels) return Fail(ErrorCode::kDataLoss, "names too many models");
  for (std::uint32_t i = 0; i < count && reader.good(); ++i) {
    std::string model(AsText(reader.Text(kLongestModelName)));
    const auto version = reader.Little<std::uint64_t>();
    // In order and each once: the same versions have no second text.
    if (!record.versions.empty() && model <= record.versions.rbegin()->first)
      return Fail(ErrorCode::kDataLoss, "names models out of order");
    record.versions.emplace_hint(record.versions.end(), std::move(model), version);
  }
  if (!reader.AtEnd()) return Fail(ErrorCode::kDataLoss, "has fields that do not add up");
  return record;
}

Result<VersionRecord> ParseVersionRecord(ByteSpan file, const crypto::SecretKey& mac_key) {
  if (file.size() > kLargestVersionRecord || file.size() < crypto::SecretKey::kSize)
    return Fail(ErrorCode::kDataLoss, "is no record of versions");
  const ByteSpan fields = file.first(file.size() - crypto::SecretKey::kSize);
  const crypto::SecretKey mac = mac_key.Derive(fields);
  if (!crypto::ConstantTimeEqual(mac.bytes(), file.last(crypto::SecretKey::kSize)))
    return Fail(ErrorCode::kDataLoss, "was not written with this device's key, or was changed since");
  return ParseVersionFields(fields);
}

}  // namespace tacit::keys
