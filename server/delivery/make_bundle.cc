#include "server/delivery/make_bundle.h"

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

Result<bundle::Manifest> ManifestOf(const BundleParts& parts, ByteSpan plaintext, const crypto::SecretKey& content) {
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
                                   .detector_calibration = std::nullopt,
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
  const SharedBytes plaintext = Share(PlaintextOf(parts, secrets.owner));
  TACIT_TRY(bundle::Manifest manifest, ManifestOf(parts, plaintext.bytes, content));
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
