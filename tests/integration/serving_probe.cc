// Puts a model into the state directory of a device that has joined, where its keeper of models looks for it, as a
// server and the device do together, for the test of what serves it. What is there already is kept as the version
// before.
//   serving_probe deploy STATE SIGNER.pem TASK VERSION MODEL [LIFETIME_MS]
// Makes the device's key where there is none. MODEL is linear:SCALE, of 4 features and 3 classes, whose weight of class
// c and feature f is SCALE * (c + 1) * (f + 1), bad, the same with a weight that is not finite, or cnn, the small
// convolutional network of the benchmarks.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "benchmarks/edge/models.h"
#include "common/base/files.h"
#include "common/bundle/lease.h"
#include "common/bundle/sealed_bundle.h"
#include "common/crypto/digest.h"
#include "common/graph/file.h"
#include "common/graph/from_spec.h"
#include "edge_agent/delivery/held_model.h"
#include "edge_agent/enrolment/identity.h"
#include "edge_agent/keys/device_key.h"

namespace {

using namespace tacit;
using std::filesystem::path;

constexpr std::string_view kBad = "bad";
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
  if (text == kBad) return Linear(std::numeric_limits<float>::infinity());
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
                            std::span<const crypto::SigningKey> signers, WallTime expires) {
  TACIT_TRY(auto device_key, keys::OpenDeviceKey({.state = wish.state / "delivery",
                                                  .place = keys::FilePlace{},
                                                  .credentials = {},
                                                  .if_missing = keys::IfMissing::kMake}));
  TACIT_TRY(enrolment::EnrolledIdentity identity, enrolment::LoadIdentity(wish.state));
  const bundle::LeaseTerms terms{.device = std::move(identity.device),
                                 .manifest = manifest.digest(),
                                 .key_epoch = 1,
                                 .not_before = expires - Millis(wish.lifetime_ms + 1000),
                                 .expires = expires};
  const crypto::P256Point recipient = device_key.agreement().public_key();
  return bundle::IssueLease({.terms = terms, .recipient = recipient, .content_key = content_key}, signers);
}

Result<void> Keep(const Wish& wish, const delivery::HeldModel& model, ByteSpan bundle) {
  const delivery::HeldFiles files(wish.state / "delivery" / wish.task);
  std::filesystem::create_directories(files.directory);
  TACIT_TRY_VOID(WriteFileAtomic(files.Bundle(model.manifest), bundle, kOwnerOnly));
  std::error_code none_yet;
  std::filesystem::rename(files.current, files.previous, none_yet);
  return WriteFileAtomic(files.current, delivery::FormatHeldModel(model), kOwnerOnly);
}

Result<void> Deploy(const Wish& wish) {
  const path directory = wish.state / "delivery";
  std::filesystem::create_directories(directory);
  TACIT_TRY(const Bytes pem, ReadFile(wish.signer, 4096));
  TACIT_TRY(auto signer, crypto::SigningKey::FromPem(AsText(pem)));
  TACIT_TRY_VOID(WriteFileAtomic(directory / "signer.pem", AsBytes(crypto::ToPem(signer.public_key())), kOwnerOnly));
  std::vector<crypto::SigningKey> signers;
  signers.push_back(std::move(signer));
  TACIT_TRY(Bytes plaintext, ModelOf(wish.model));
  const auto content_key = crypto::SecretKey::Random();
  TACIT_TRY(const bundle::Manifest manifest, ManifestOf(wish, plaintext, content_key));
  const WallTime expires = SystemClock().Now() + Millis(wish.lifetime_ms);
  TACIT_TRY(std::string lease, LeaseOf(wish, manifest, content_key, signers, expires));
  TACIT_TRY(const auto sealed, bundle::SealedBundle::Create(bundle::SignManifest(manifest, signers), content_key,
                                                            SharedBytes::Of(std::move(plaintext))));
  Bytes file(sealed.size());
  sealed.Read(0, file);
  return Keep(wish,
              {.manifest = manifest.digest(),
               .version = wish.version,
               .minimum_version = 0,
               .key_epoch = 1,
               .bundle_bytes = file.size(),
               .expires = expires,
               .renew_after = expires,
               .lease = std::move(lease)},
              file);
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
