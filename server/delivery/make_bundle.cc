#include "server/delivery/make_bundle.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "common/bundle/head.h"
#include "common/bundle/payload.h"
#include "common/bundle/sealed_bundle.h"
#include "common/crypto/digest.h"
#include "common/graph/file.h"
#include "common/graph/from_spec.h"
#include "server/ownership/obfuscate.h"

namespace tacit::delivery {

namespace {

constexpr std::uint64_t kGraphFormat = 1;  // of what graph::Serialise writes
// Beside the parameters: a graph's own lines, heads, tags of chunks and padding, all of which are small.
constexpr std::uint64_t kBeside = std::uint64_t{1} << 20U;
constexpr std::uint64_t kCopies = 3;
// Of what stands beside the parameters.
constexpr std::size_t kMostDetectors = std::size_t{768} << 10U;

crypto::SecretKey ContentKeyOf(const crypto::SecretKey& owner, const BundleName& name) {
  ByteWriter label;
  label.Text("tacit-content-key/1").Text(name.task.str()).U64(name.version);
  label.Text(name.device ? name.device->str() : std::string());
  return owner.Derive(label.bytes());
}

/// What goes into the bundle: a graph file, of the device's own copy where it has one.
AlignedBuffer PlaintextOf(const BundleParts& parts, const crypto::SecretKey& owner) {
  const std::span<const float> parameters(reinterpret_cast<const float*>(parts.parameters.data()),
                                          parts.parameters.size() / sizeof(float));
  const graph::OwnedGraph master = graph::FromSpec(parts.model, parameters);
  const BundleName& name = parts.name;
  if (!name.device) return graph::Serialise({.graph = master.graph, .weights = master.bytes()});
  const graph::OwnedGraph copy =
      ownership::Obfuscate({.graph = master.graph, .weights = master.bytes()},
                           ownership::CopyKeyOf(owner, name.task, name.version, *name.device));
  return graph::Serialise({.graph = copy.graph, .weights = copy.bytes()});
}

struct Plaintext {
  AlignedBuffer bytes;
  std::size_t detectors_size = 0;  ///< Of its end.
  std::optional<Digest256> calibration = std::nullopt;
};

/// A model, and behind it its detectors, of which it is said now that they are of this copy.
Result<Plaintext> WithDetectors(AlignedBuffer model, const detect::Detectors* detectors) {
  if (detectors == nullptr) return Plaintext{.bytes = std::move(model)};
  detect::Detectors stamped = *detectors;
  stamped.calibration.model = crypto::Sha256(model.bytes());
  const Bytes end = detect::Serialise(stamped);
  if (end.size() > kMostDetectors) {
    return Fail(ErrorCode::kTooLarge, "detectors of " + std::to_string(end.size()) + " bytes are over the limit of " +
                                          std::to_string(kMostDetectors));
  }
  AlignedBuffer both(model.size() + end.size());
  std::ranges::copy(std::as_const(model).bytes(), both.bytes().begin());
  std::ranges::copy(end, both.bytes().begin() + static_cast<std::ptrdiff_t>(model.size()));
  return Plaintext{
      .bytes = std::move(both), .detectors_size = end.size(), .calibration = detect::IdOf(stamped.calibration)};
}

Result<bundle::Manifest> ManifestOf(const BundleParts& parts, const Plaintext& made, const crypto::SecretKey& content) {
  const ByteSpan plaintext = made.bytes.bytes();
  const BundleName& name = parts.name;
  TACIT_TRY(bundle::ModelName model, bundle::ModelName::Parse(name.task.str()));
  return bundle::Manifest::Create({.model = std::move(model),
                                   .task = name.task,
                                   .version = name.version,
                                   .minimum_version = 1,
                                   .engine_format = kGraphFormat,
                                   .plaintext_size = plaintext.size(),
                                   .plaintext_digest = crypto::Sha256(plaintext),
                                   .schema_digest = crypto::Sha256(AsBytes(parts.model.CanonicalText())),
                                   .content_key = bundle::ContentKeyId(content),
                                   .predecessor = std::nullopt,
                                   .receipt = parts.receipt,
                                   .detector_calibration = made.calibration,
                                   .detectors_size = made.detectors_size,
                                   .watermark_commitment = parts.commitment,
                                   .device = name.device,
                                   .made_at = parts.published_at});
}

SharedBytes Share(AlignedBuffer buffer) {
  auto owner = std::make_shared<const AlignedBuffer>(std::move(buffer));
  const ByteSpan bytes = owner->bytes();
  return {.owner = std::move(owner), .bytes = bytes};
}

}  // namespace

Result<MadeBundle> MakeBundle(const BundleParts& parts, const BundleSecrets& secrets) {
  TACIT_CHECK(parts.name.version >= 1, "version 0 is no round's");
  if (parts.parameters.size() != parts.model.ParameterCount() * sizeof(float)) {
    return Fail(ErrorCode::kDataLoss, "version " + std::to_string(parts.name.version) + " of task '" +
                                          parts.name.task.str() + "' has another size than its model");
  }
  crypto::SecretKey content = ContentKeyOf(secrets.owner, parts.name);
  TACIT_TRY(Plaintext made, WithDetectors(PlaintextOf(parts, secrets.owner), parts.detectors));
  TACIT_TRY(bundle::Manifest manifest, ManifestOf(parts, made, content));
  const SharedBytes plaintext = Share(std::move(made.bytes));
  const std::string envelope = bundle::SignManifest(manifest, {&secrets.signer, 1});
  TACIT_TRY(const auto sealed, bundle::SealedBundle::Create(envelope, content, plaintext));
  Bytes file(sealed.size());
  sealed.Read(0, file);
  const std::uint64_t head = file.size() - bundle::SealedSizeOf(plaintext.bytes.size());
  std::string tag = ToHex(crypto::Sha256(ByteSpan(file).first(head)));
  return MadeBundle{.manifest = std::move(manifest),
                    .content_key = std::move(content),
                    .tag = std::move(tag),
                    .file = std::move(file)};
}

std::uint64_t PeakBytes(std::uint64_t parameters) {
  return kCopies * (parameters * sizeof(float) + kBeside);
}

std::uint64_t MostParameters(std::uint64_t limit) {
  const std::uint64_t each = limit / kCopies;
  return each <= kBeside ? 0 : (each - kBeside) / sizeof(float);
}

}  // namespace tacit::delivery
