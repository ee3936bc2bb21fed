// Puts a model into a device's state directory, as a server and a device do together, for the test of what serves it.
//   serving_probe deploy STATE SIGNER.pem TASK VERSION MODEL [LIFETIME_MS]
// Makes the device's key where there is none. MODEL is linear:SCALE, of 4 features and 3 classes, whose weight of class
// c and feature f is SCALE * (c + 1) * (f + 1), or cnn, the small convolutional network of the benchmarks.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "benchmarks/edge/models.h"
#include "common/base/files.h"
#include "common/bundle/lease.h"
#include "common/bundle/sealed_bundle.h"
#include "common/crypto/digest.h"
#include "common/graph/file.h"
#include "common/graph/from_spec.h"
#include "edge_agent/keys/device_key.h"

namespace {

using namespace tacit;
using std::filesystem::path;

constexpr std::string_view kLinear = "linear:";
constexpr std::uint32_t kFeatures = 4;
constexpr std::uint32_t kClasses = 3;

struct Wish {
  path state;
  path signer;
  std::string task;
  std::uint64_t version = 0;
  std::string model;
  std::int64_t lifetime_ms = 86'400'000;
};

Result<Bytes> GraphFile(const graph::OwnedGraph& made) {
  const AlignedBuffer file = graph::Serialise({.graph = made.graph, .weights = made.weights.bytes()});
  const ByteSpan bytes = file.bytes();
  return Bytes(bytes.begin(), bytes.end());
}

Result<Bytes> Linear(float scale) {
  TACIT_TRY(const auto spec, model::ModelSpec::Create({.inputs = kFeatures, .hidden = {}, .classes = kClasses}));
  std::vector<float> parameters(spec.ParameterCount(), 0.0F);
  for (std::uint32_t c = 0; c < kClasses; ++c) {
    for (std::uint32_t f = 0; f < kFeatures; ++f)
      parameters[c * kFeatures + f] = scale * static_cast<float>((c + 1) * (f + 1));
  }
  return GraphFile(graph::FromSpec(spec, parameters));
}

Result<Bytes> ModelOf(const std::string& text) {
  if (text.starts_with(kLinear)) return Linear(std::stof(text.substr(kLinear.size())));
  for (const benchmark::Model& model : benchmark::MakeModels()) {
    if (model.name == text) return GraphFile(model.graph);
  }
  return Fail(ErrorCode::kInvalidArgument, "no such model: " + text);
}

Result<bundle::Manifest> ManifestOf(const Wish& wish, ByteSpan plaintext, const crypto::SecretKey& content_key) {
  TACIT_TRY(bundle::ModelName model, bundle::ModelName::Parse(wish.task));
  TACIT_TRY(TaskId task, TaskId::Parse(wish.task));
  return bundle::Manifest::Create({.model = std::move(model),
                                   .task = std::move(task),
                                   .version = wish.version,
                                   .minimum_version = 1,
                                   .engine_format = 1,
                                   .plaintext_size = plaintext.size(),
                                   .plaintext_digest = crypto::Sha256(plaintext),
                                   .schema_digest = crypto::Sha256(AsBytes("schema")),
                                   .content_key = bundle::ContentKeyId(content_key),
                                   .predecessor = std::nullopt,
                                   .receipt = std::nullopt,
                                   .detector_calibration = std::nullopt,
                                   .watermark_commitment = std::nullopt,
                                   .device = std::nullopt,
                                   .made_at = SystemClock().Now()});
}

Result<std::string> LeaseOf(const Wish& wish, const bundle::Manifest& manifest, const crypto::SecretKey& content_key,
                            std::span<const crypto::SigningKey> signers) {
  TACIT_TRY(
      auto device_key,
      keys::OpenDeviceKey(
          {.state = wish.state, .place = keys::FilePlace{}, .credentials = {}, .if_missing = keys::IfMissing::kMake}));
  TACIT_TRY(DeviceId device, DeviceId::Parse("pump-3"));
  const WallTime now = SystemClock().Now();
  const bundle::LeaseTerms terms{.device = std::move(device),
                                 .manifest = manifest.digest(),
                                 .key_epoch = 1,
                                 .not_before = now - Millis(1000),
                                 .expires = now + Millis(wish.lifetime_ms)};
  const crypto::P256Point recipient = device_key.agreement().public_key();
  return bundle::IssueLease({.terms = terms, .recipient = recipient, .content_key = content_key}, signers);
}

Result<void> WriteTerms(const Wish& wish, const path& directory, const crypto::Ed25519PublicKey& signer) {
  const nlohmann::json terms = {{"device", "pump-3"}, {"model", wish.task}, {"signers", {ToHex(signer)}}};
  return WriteFileAtomic(directory / "deployment.json", AsBytes(terms.dump()), kOwnerOnly);
}

Result<void> Deploy(const Wish& wish) {
  const path directory = wish.state / "models" / wish.task;
  std::filesystem::create_directories(directory);
  TACIT_TRY(const Bytes pem, ReadFile(wish.signer, 4096));
  TACIT_TRY(auto signer, crypto::SigningKey::FromPem(AsText(pem)));
  TACIT_TRY_VOID(WriteTerms(wish, directory, signer.public_key()));
  std::vector<crypto::SigningKey> signers;
  signers.push_back(std::move(signer));
  TACIT_TRY(Bytes plaintext, ModelOf(wish.model));
  const auto content_key = crypto::SecretKey::Random();
  TACIT_TRY(const bundle::Manifest manifest, ManifestOf(wish, plaintext, content_key));
  TACIT_TRY(const std::string lease, LeaseOf(wish, manifest, content_key, signers));
  TACIT_TRY(const auto sealed, bundle::SealedBundle::Create(bundle::SignManifest(manifest, signers), content_key,
                                                            SharedBytes::Of(std::move(plaintext))));
  Bytes file(sealed.size());
  sealed.Read(0, file);
  TACIT_TRY_VOID(WriteFileAtomic(directory / "bundle", file, kOwnerOnly));
  return WriteFileAtomic(directory / "lease", AsBytes(lease), kOwnerOnly);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 7 || std::string_view(arguments[1]) != "deploy") return 2;
  Wish wish;
  wish.state = arguments[2];
  wish.signer = arguments[3];
  wish.task = arguments[4];
  wish.version = std::stoull(arguments[5]);
  wish.model = arguments[6];
  if (count > 7) wish.lifetime_ms = std::stoll(arguments[7]);
  const Result<void> done = Deploy(wish);
  if (done) return 0;
  std::fprintf(stderr, "%s\n", done.error().message.c_str());
  return 1;
}
