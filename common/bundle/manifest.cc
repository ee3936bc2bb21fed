#include "common/bundle/manifest.h"

#include <algorithm>
#include <utility>

#include "common/bundle/canonical_json.h"
#include "common/crypto/digest.h"

namespace tacit::bundle {
namespace {

constexpr std::string_view kWhat = "the manifest";
constexpr std::string_view kStatementWhat = "the statement";
constexpr std::size_t kLongestManifest = 4096;
constexpr std::size_t kLongestStatement = 8192;
constexpr std::string_view kCipher = "aes-256-gcm";
constexpr std::string_view kStatementType = "https://in-toto.io/Statement/v1";
constexpr std::string_view kPredicateType = "https://tacit.dev/model-bundle/v1";
constexpr std::string_view kSubject = "model";

struct NumberRule {
  std::string_view name;
  std::uint64_t value;
  std::uint64_t least;
  std::uint64_t most;
};

Result<void> CheckDetectors(const ManifestFields& fields) {
  if (fields.detector_calibration.has_value() != (fields.detectors_size > 0)) {
    return Fail(ErrorCode::kInvalidArgument,
                std::string(kWhat) + ": 'detector_calibration' and 'detectors_size' stand together or not at all");
  }
  if (fields.detectors_size <= std::min(kMostDetectors, fields.plaintext_size - 1)) return {};
  return Fail(ErrorCode::kInvalidArgument, std::string(kWhat) + ": 'detectors_size' must be at most " +
                                               std::to_string(kMostDetectors) + " and leave room for a model, not " +
                                               std::to_string(fields.detectors_size));
}

Result<void> CheckNumbers(const ManifestFields& fields) {
  const auto made_at = static_cast<std::uint64_t>(fields.made_at.time_since_epoch().count());
  for (const NumberRule& rule : {
           NumberRule{"version", fields.version, 1, kMostWhole},
           NumberRule{"minimum_version", fields.minimum_version, 1, fields.version},
           NumberRule{"engine_format", fields.engine_format, 1, kMostWhole},
           NumberRule{"plaintext_size", fields.plaintext_size, 1, kMostPlaintext},
           NumberRule{"made_at_ms", made_at, 0, kMostWhole},
       }) {
    if (rule.value >= rule.least && rule.value <= rule.most) continue;
    return Fail(ErrorCode::kInvalidArgument, std::string(kWhat) + ": '" + std::string(rule.name) + "' must be " +
                                                 std::to_string(rule.least) + " to " + std::to_string(rule.most) +
                                                 ", not " + std::to_string(rule.value));
  }
  return CheckDetectors(fields);
}

std::string JsonOf(const ManifestFields& fields) {
  ObjectWriter writer;
  writer.Whole("chunk_size", kChunk)
      .Text("cipher", kCipher)
      .Digest("content_key", fields.content_key)
      .OptionalDigest("detector_calibration", fields.detector_calibration);
  if (fields.detectors_size > 0) writer.Whole("detectors_size", fields.detectors_size);
  if (fields.device) writer.Text("device", fields.device->str());
  writer.Whole("engine_format", fields.engine_format)
      .Whole("made_at_ms", static_cast<std::uint64_t>(fields.made_at.time_since_epoch().count()))
      .Whole("minimum_version", fields.minimum_version)
      .Text("model", fields.model.str())
      .Digest("plaintext_sha256", fields.plaintext_digest)
      .Whole("plaintext_size", fields.plaintext_size)
      .OptionalDigest("predecessor", fields.predecessor)
      .OptionalDigest("receipt", fields.receipt)
      .Digest("schema", fields.schema_digest)
      .Text("task", fields.task.str())
      .Whole("version", fields.version)
      .OptionalDigest("watermark_commitment", fields.watermark_commitment);
  return std::move(writer).Take();
}

template <typename T>
Result<T> ReadName(const ObjectReader& reader, std::string_view member) {
  TACIT_TRY(const std::string text, reader.Text(member));
  auto name = T::Parse(text);
  if (!name) return Fail(ErrorCode::kMalformed, std::string(kWhat) + ": " + name.error().message);
  return name;
}

// The members that a text of the canonical form is compared by need no check here.
Result<Manifest> ReadManifest(const nlohmann::json& json) {
  const ObjectReader reader(json, kWhat);
  TACIT_TRY(ModelName model, ReadName<ModelName>(reader, "model"));
  TACIT_TRY(TaskId task, ReadName<TaskId>(reader, "task"));
  std::optional<DeviceId> device;
  if (reader.Has("device")) {
    TACIT_TRY(DeviceId name, ReadName<DeviceId>(reader, "device"));
    device = std::move(name);
  }
  TACIT_TRY(const std::uint64_t version, reader.Whole("version"));
  TACIT_TRY(const std::uint64_t minimum_version, reader.Whole("minimum_version"));
  TACIT_TRY(const std::uint64_t engine_format, reader.Whole("engine_format"));
  TACIT_TRY(const std::uint64_t plaintext_size, reader.Whole("plaintext_size"));
  TACIT_TRY(const std::uint64_t made_at, reader.Whole("made_at_ms"));
  TACIT_TRY(const Digest256 plaintext_digest, reader.Digest("plaintext_sha256"));
  TACIT_TRY(const Digest256 schema_digest, reader.Digest("schema"));
  TACIT_TRY(const Digest256 content_key, reader.Digest("content_key"));
  TACIT_TRY(const std::optional<Digest256> predecessor, reader.OptionalDigest("predecessor"));
  TACIT_TRY(const std::optional<Digest256> receipt, reader.OptionalDigest("receipt"));
  TACIT_TRY(const std::optional<Digest256> calibration, reader.OptionalDigest("detector_calibration"));
  std::uint64_t detectors_size = 0;
  if (reader.Has("detectors_size")) {
    TACIT_TRY(detectors_size, reader.Whole("detectors_size"));
  }
  TACIT_TRY(const std::optional<Digest256> watermark, reader.OptionalDigest("watermark_commitment"));
  return Manifest::Create({.model = std::move(model),
                           .task = std::move(task),
                           .version = version,
                           .minimum_version = minimum_version,
                           .engine_format = engine_format,
                           .plaintext_size = plaintext_size,
                           .plaintext_digest = plaintext_digest,
                           .schema_digest = schema_digest,
                           .content_key = content_key,
                           .predecessor = predecessor,
                           .receipt = receipt,
                           .detector_calibration = calibration,
                           .detectors_size = detectors_size,
                           .watermark_commitment = watermark,
                           .device = std::move(device),
                           .made_at = WallTime(Millis(static_cast<std::int64_t>(made_at)))});
}

}  // namespace

Digest256 ContentKeyId(const crypto::SecretKey& content_key) {
  return crypto::Sha256(content_key.Derive(AsBytes("tacit.dev/model-bundle/v1 content key id")).bytes());
}

Manifest::Manifest(ManifestFields fields, std::string json)
    : fields_(std::move(fields)), json_(std::move(json)), digest_(crypto::Sha256(AsBytes(json_))) {}

Result<Manifest> Manifest::Create(ManifestFields fields) {
  TACIT_TRY_VOID(CheckNumbers(fields));
  std::string json = JsonOf(fields);
  return Manifest(std::move(fields), std::move(json));
}

Result<Manifest> Manifest::Parse(std::string_view json) {
  TACIT_TRY(const nlohmann::json object, ParseObject(json, kWhat, kLongestManifest));
  TACIT_TRY(Manifest manifest, ReadManifest(object));
  TACIT_TRY_VOID(CheckCanonical(json, manifest.json(), kWhat));
  return manifest;
}

std::string ToStatement(const Manifest& manifest) {
  ObjectWriter digest;
  digest.Digest("sha256", manifest.fields().plaintext_digest);
  ObjectWriter subject;
  subject.Json("digest", std::move(digest).Take()).Text("name", kSubject);
  ObjectWriter statement;
  statement.Text("_type", kStatementType)
      .Json("predicate", manifest.json())
      .Text("predicateType", kPredicateType)
      .Json("subject", '[' + std::move(subject).Take() + ']');
  return std::move(statement).Take();
}

Result<Manifest> ParseStatement(std::string_view json) {
  TACIT_TRY(const nlohmann::json object, ParseObject(json, kStatementWhat, kLongestStatement));
  const auto predicate = object.find("predicate");
  if (predicate == object.end() || !predicate->is_object())
    return Fail(ErrorCode::kMalformed, std::string(kStatementWhat) + ": 'predicate' must be an object");
  TACIT_TRY(Manifest manifest, ReadManifest(*predicate));
  TACIT_TRY_VOID(CheckCanonical(json, ToStatement(manifest), kStatementWhat));
  return manifest;
}

}  // namespace tacit::bundle
