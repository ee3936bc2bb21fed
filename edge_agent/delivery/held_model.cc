#include "edge_agent/delivery/held_model.h"

#include <string_view>
#include <utility>

#include "common/base/files.h"
#include "common/bundle/lease.h"
#include "edge_agent/keys/byte_reader.h"
#include "edge_agent/upload/kept_files.h"

namespace tacit::delivery {
namespace {

constexpr std::string_view kMagic = "TACITHM1";
constexpr std::size_t kLargestRecord = bundle::Lease::kLongest + 1024;

std::uint64_t MillisOf(WallTime time) {
  return static_cast<std::uint64_t>(time.time_since_epoch().count());
}

WallTime TimeOf(std::uint64_t millis) {
  return WallTime(Millis(static_cast<std::int64_t>(millis)));
}

}  // namespace

Bytes FormatHeldModel(const HeldModel& model) {
  ByteWriter writer;
  writer.Raw(AsBytes(kMagic)).Raw(model.manifest).U64(model.version).U64(model.minimum_version).U64(model.key_epoch);
  writer.U64(model.bundle_bytes).U64(MillisOf(model.expires)).U64(MillisOf(model.renew_after)).Text(model.lease);
  return upload::WithDigest(std::move(writer));
}

Result<HeldModel> ParseHeldModel(ByteSpan file) {
  const std::unexpected<Error> damaged =
      Fail(ErrorCode::kDataLoss, "the record of the model that is held here is damaged");
  const std::optional<ByteSpan> content = upload::ContentOf(kMagic, file);
  if (!content) return damaged;
  keys::ByteReader reader(*content);
  HeldModel model{.manifest = reader.Array<sizeof(Digest256)>(), .expires = {}, .renew_after = {}, .lease = {}};
  model.version = reader.Little<std::uint64_t>();
  model.minimum_version = reader.Little<std::uint64_t>();
  model.key_epoch = reader.Little<std::uint64_t>();
  model.bundle_bytes = reader.Little<std::uint64_t>();
  model.expires = TimeOf(reader.Little<std::uint64_t>());
  model.renew_after = TimeOf(reader.Little<std::uint64_t>());
  model.lease = AsText(reader.Text(bundle::Lease::kLongest));
  if (!reader.AtEnd()) return damaged;
  return model;
}

std::filesystem::path HeldFiles::Bundle(const Digest256& manifest) const {
  return directory / (ToHex(manifest) + ".tacit");
}

std::filesystem::path HeldFiles::Part(const Digest256& manifest) const {
  return directory / (ToHex(manifest) + ".part");
}

Result<std::optional<HeldModel>> ReadHeldModel(const std::filesystem::path& record) {
  const auto bytes = ReadFile(record, kLargestRecord);
  if (!bytes && bytes.error().code == ErrorCode::kNotFound) return std::nullopt;
  if (!bytes) return std::unexpected(bytes.error());
  auto model = ParseHeldModel(*bytes);
  if (!model) return Annotate(model.error(), record.string());
  return *std::move(model);
}

}  // namespace tacit::delivery
