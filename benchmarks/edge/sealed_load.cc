#include "benchmarks/edge/sealed_load.h"

#include <algorithm>
#include <ctime>
#include <utility>
#include <vector>

#include "common/base/files.h"
#include "common/bundle/head.h"
#include "common/bundle/payload.h"
#include "common/bundle/sealed_bundle.h"
#include "common/bundle/ticket.h"
#include "common/crypto/digest.h"
#include "edge_agent/inference/builtin_engine.h"
#include "edge_agent/inference/heap_memory.h"

namespace tacit::benchmark {
namespace {

constexpr int kTurns = 41;

double Seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double MedianOf(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

Result<bundle::Manifest> ManifestOf(ByteSpan plaintext, const crypto::SecretKey& content_key) {
  TACIT_TRY(bundle::ModelName model, bundle::ModelName::Parse("benchmark"));
  TACIT_TRY(TaskId task, TaskId::Parse("benchmark"));
  return bundle::Manifest::Create({.model = std::move(model),
                                   .task = std::move(task),
                                   .version = 1,
                                   .minimum_version = 1,
                                   .engine_format = 1,
                                   .plaintext_size = plaintext.size(),
                                   .plaintext_digest = crypto::Sha256(plaintext),
                                   .schema_digest = crypto::Sha256({}),
                                   .content_key = bundle::ContentKeyId(content_key),
                                   .predecessor = std::nullopt,
                                   .receipt = std::nullopt,
                                   .detector_calibration = std::nullopt,
                                   .watermark_commitment = std::nullopt,
                                   .device = std::nullopt,
                                   .made_at = WallTime{}});
}

/// The same model in two files, and what opens the second.
class Files {
 public:
  static Result<Files> Create(ByteSpan graph_file, const std::filesystem::path& directory) {
    auto content_key = crypto::SecretKey::Random();
    std::vector<crypto::SigningKey> signers;
    TACIT_TRY(auto signer, crypto::SigningKey::Generate());
    TACIT_TRY(auto trusted, bundle::SignerSet::Create({signer.public_key()}, 1));
    signers.push_back(std::move(signer));
    TACIT_TRY(const auto manifest, ManifestOf(graph_file, content_key));
    TACIT_TRY(const auto sealed,
              bundle::SealedBundle::Create(bundle::SignManifest(manifest, signers), content_key,
                                           SharedBytes::Of(Bytes(graph_file.begin(), graph_file.end()))));
    Bytes bundle(sealed.size());
    sealed.Read(0, bundle);
    Files files(directory, manifest.fields().plaintext_digest, std::move(content_key), std::move(trusted));
    TACIT_TRY_VOID(WriteFileAtomic(files.plain_, graph_file, kOwnerOnly));
    TACIT_TRY_VOID(WriteFileAtomic(files.sealed_, bundle, kOwnerOnly));
    return files;
  }

  Result<void> ReadPlain(AlignedBuffer& into) const { return ReadFileInto(plain_, into.bytes()); }
  Result<void> ReadHashed(AlignedBuffer& into) const {
    TACIT_TRY_VOID(ReadPlain(into));
    if (crypto::Sha256(std::as_const(into).bytes()) == digest_) return {};
    return Fail(ErrorCode::kDataLoss, "the model's file has changed");
  }
  Result<void> ReadSealed(AlignedBuffer& into) const {
    TACIT_TRY(auto source, bundle::FileSource::Open(sealed_));
    TACIT_TRY(const bundle::BundleHead head, bundle::ReadHead(source, trusted_));
    const bundle::PayloadTicket ticket{.key = bundle::PayloadKey(content_key_, head.digest),
                                       .manifest = head.manifest.digest(),
                                       .plaintext_digest = head.manifest.fields().plaintext_digest,
                                       .plaintext_size = head.manifest.fields().plaintext_size,
                                       .offset = head.size,
                                       .detectors_size = 0,
                                       .calibration = {}};
    return bundle::ReadPayload(source, ticket, into.bytes());
  }

 private:
  Files(const std::filesystem::path& directory, const Digest256& digest, crypto::SecretKey content_key,
        bundle::SignerSet trusted)
      : plain_(directory / "model.graph"),
        sealed_(directory / "model.tacit"),
        digest_(digest),
        content_key_(std::move(content_key)),
        trusted_(std::move(trusted)) {}

  std::filesystem::path plain_;
  std::filesystem::path sealed_;
  Digest256 digest_;
  crypto::SecretKey content_key_;
  bundle::SignerSet trusted_;
};

template <typename Read>
Result<double> SecondsOfLoad(std::size_t size, Read read) {
  // As in a worker: memory that nobody has touched, for each model.
  AlignedBuffer file(size);
  inference::HeapMemory workspace;
  const auto engine = inference::MakeBuiltinEngine(workspace);
  const double begin = Seconds();
  TACIT_TRY_VOID(read(file));
  TACIT_TRY_VOID(engine->Load(std::as_const(file).bytes()));
  return Seconds() - begin;
}

}  // namespace

Result<LoadTimes> MeasureLoads(ByteSpan graph_file, const std::filesystem::path& directory) {
  TACIT_TRY(const Files files, Files::Create(graph_file, directory));
  std::vector<double> plain;
  std::vector<double> hashed;
  std::vector<double> sealed;
  for (int turn = 0; turn < kTurns; ++turn) {
    TACIT_TRY(plain.emplace_back(),
              SecondsOfLoad(graph_file.size(), [&](AlignedBuffer& into) { return files.ReadPlain(into); }));
    TACIT_TRY(hashed.emplace_back(),
              SecondsOfLoad(graph_file.size(), [&](AlignedBuffer& into) { return files.ReadHashed(into); }));
    TACIT_TRY(sealed.emplace_back(),
              SecondsOfLoad(graph_file.size(), [&](AlignedBuffer& into) { return files.ReadSealed(into); }));
  }
  return LoadTimes{.plain = MedianOf(plain), .hashed = MedianOf(hashed), .sealed = MedianOf(sealed)};
}

}  // namespace tacit::benchmark
