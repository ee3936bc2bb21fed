#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/bundle/manifest.h"
#include "common/crypto/secret.h"
#include "common/crypto/signing.h"
#include "edge_agent/detect/policy.h"
#include "server/task/task_spec.h"

namespace tacit::delivery {

/// Which bundle: of a task's version, for one device or, where all have the same, for none.
struct BundleName {
  TaskId task;
  ModelVersion version = 1;
  std::optional<DeviceId> device = std::nullopt;
  auto operator<=>(const BundleName&) const = default;
};

/// What a bundle is made from.
struct BundleParts {
  const BundleName& name;
  const model::ModelSpec& model;
  ByteSpan parameters;  ///< float32, little-endian, as the store maps them: `model`'s number of them.
  WallTime published_at;
  std::optional<Digest256> receipt = std::nullopt;     ///< Of the round's charge in the ledger.
  std::optional<Digest256> commitment = std::nullopt;  ///< To the mark of the model.
  /// For what the version computes; null for none. Its digest of a model is written here, for the copy that is made.
  const detect::Detectors* detectors = nullptr;
};

/// The secrets that bundles follow from.
struct BundleSecrets {
  const crypto::SecretKey& owner;
  const crypto::SigningKey& signer;
};

struct MadeBundle {
  bundle::Manifest manifest;
  crypto::SecretKey content_key;
  std::string tag;  ///< Names the bytes of `file`: SHA-256 of its head, in hexadecimal.
  Bytes file;
};

/// The same parts and secrets always make the same bytes, so that a download that broke off can go on after a restart.
/// Shape: version 1 or above. Errors: kDataLoss where the parameters are not as many as the model's; kTooLarge for
/// detectors of more than 768 KiB.
/// Cost: PeakBytes of memory; about 3 ns a byte of the model, and 4 more for a device's own copy.
Result<MadeBundle> MakeBundle(const BundleParts& parts, const BundleSecrets& secrets);

/// The most memory that MakeBundle takes beside what it is given, its result included. Units: bytes.
std::uint64_t PeakBytes(std::uint64_t parameters);

/// The most parameters that a model may have whose PeakBytes are at most `limit`.
std::uint64_t MostParameters(std::uint64_t limit);

}  // namespace tacit::delivery
