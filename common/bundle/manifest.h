#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/crypto/secret.h"

namespace tacit::bundle {

struct ModelNameTag {
  static constexpr std::string_view kWhat = "a model name";
};
using ModelName = Name<ModelNameTag>;

/// What a payload is sealed in: this many bytes at a time, the last chunk being shorter.
inline constexpr std::size_t kChunk = std::size_t{64} * 1024;
/// The most plaintext that a bundle carries: 4 GiB.
inline constexpr std::uint64_t kMostPlaintext = std::uint64_t{1} << 32U;
/// The most bytes at the end of a plaintext that are of its model's detectors.
inline constexpr std::uint64_t kMostDetectors = (std::uint64_t{4} << 20U) + 32;
/// How the content keys of bundles are named: one cannot be taken for another, and its name gives nothing of it away.
Digest256 ContentKeyId(const crypto::SecretKey& content_key);

/// What a manifest says of a model. All digests are SHA-256.
struct ManifestFields {
  ModelName model;
  TaskId task;
  std::uint64_t version;          ///< Counts up, from 1.
  std::uint64_t minimum_version;  ///< The lowest version that may still be used once this manifest was seen.
  std::uint64_t engine_format;    ///< Of the file that the payload is (docs/MODEL_FILES.md), from 1.
  std::uint64_t plaintext_size;   ///< In bytes.
  Digest256 plaintext_digest;
  Digest256 schema_digest;                        ///< Of what the model takes and gives.
  Digest256 content_key;                          ///< ContentKeyId of the key that the payload is sealed with.
  std::optional<Digest256> predecessor;           ///< The manifest of the version before; none for the first.
  std::optional<Digest256> receipt;               ///< Of the round that made the model; none where no round did.
  std::optional<Digest256> detector_calibration;  ///< None where no detectors were calibrated for the model.
  /// How many of the plaintext's last bytes are of the detectors; 0 where there are none, and only there.
  std::uint64_t detectors_size = 0;
  std::optional<Digest256> watermark_commitment;  ///< None for a model without a watermark.
  std::optional<DeviceId> device;                 ///< Whom the payload was obfuscated for; none for all devices.
  WallTime made_at;
};

/// What is signed of a model: everything that decides whether a device takes it, and how. Its one text is canonical
/// JSON. Threads: any. Source: docs/MODEL_FILES.md.
class Manifest {
 public:
  /// Errors: kInvalidArgument, naming the field that is out of range.
  static Result<Manifest> Create(ManifestFields fields);
  /// Errors: kTooLarge; kMalformed where the text is not the canonical one of a manifest; as Create.
  static Result<Manifest> Parse(std::string_view json);

  [[nodiscard]] const ManifestFields& fields() const { return fields_; }
  [[nodiscard]] const std::string& json() const { return json_; }
  /// SHA-256 of json(): what leases, chunks and successors are bound to.
  [[nodiscard]] const Digest256& digest() const { return digest_; }

 private:
  Manifest(ManifestFields fields, std::string json);

  ManifestFields fields_;
  std::string json_;
  Digest256 digest_;
};

/// The manifest as an in-toto statement about the plaintext: what signatures are over.
/// Source: in-toto attestation framework, spec/v1/statement.md.
std::string ToStatement(const Manifest& manifest);
/// Errors: as Manifest::Parse.
Result<Manifest> ParseStatement(std::string_view json);

}  // namespace tacit::bundle
