#include "edge_agent/upload/pending_update.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/files.h"
#include "common/crypto/random.h"
#include "common/crypto/secret.h"
#include "dp/clip.h"
#include "dp/local_noise.h"
#include "dp/stochastic_rounding.h"
#include "dp/types.h"
#include "edge_agent/upload/kept_files.h"
#include "edge_agent/upload/local_ledger.h"
#include "edge_agent/upload/top_k.h"
#include "proto/codec/limits.h"

namespace tacit::upload {
namespace {

constexpr std::string_view kMagic = "TACITUP1";
constexpr std::size_t kLargestPending =
    codec::kMaxSparsePayloadBytes + codec::kMaxParameters * sizeof(float) + std::size_t{16} * 1024;

dp::Norm NormOf(codec::Mechanism mechanism) {
  return mechanism == codec::Mechanism::kLaplace ? dp::Norm::kL1 : dp::Norm::kL2;
}

struct ClippedPayload {
  Bytes bytes;
  bool clipped = false;
  std::uint32_t shift = 0;
};

dp::Width WidthOf(codec::Encoding encoding) {
  return encoding == codec::Encoding::kGridInt8    ? dp::Width::k8
         : encoding == codec::Encoding::kGridInt16 ? dp::Width::k16
                                                   : dp::Width::k32;
}

// The low bytes of each entry, which all fit.
Bytes Pack(std::span<const std::int32_t> grid, dp::Width width) {
  const std::size_t each = dp::BytesOf(width);
  Bytes packed(grid.size() * each);
  for (std::size_t i = 0; i < grid.size(); ++i) std::memcpy(packed.data() + i * each, &grid[i], each);
  return packed;
}

// A key for this one vector, from the operating system, and overwritten with it.
Result<void> AddNoise(const dp::LocalNoise& noise, dp::GridRadius radius, std::span<std::int32_t> grid) {
  crypto::AesKeystream bits(crypto::SecretKey::Random());
  return dp::AddLocalNoise(noise, radius, bits, grid);
}

Result<ClippedPayload> GridPayload(const codec::Lease& lease, std::span<const float> delta, dp::Width width) {
  TACIT_TRY(const dp::ClipNorm clip_norm, dp::ClipNorm::Create(lease.clip_norm));
  TACIT_TRY(const dp::GridRadius radius, dp::GridRadius::Create(lease.grid_radius));
  TACIT_TRY(const auto terms, LocalTermsOf(lease));
  const dp::Norm norm = terms ? dp::NormOf(terms->noise.mechanism) : NormOf(lease.mechanism);
  std::vector<std::int32_t> grid(delta.size());
  TACIT_TRY(const dp::ClipOutcome outcome, dp::ClipToGrid(delta, clip_norm, radius, norm, grid));
  if (terms) TACIT_TRY_VOID(AddNoise(terms->noise, radius, grid));
  crypto::AesKeystream coins(crypto::SecretKey::Random());
  TACIT_TRY(const std::uint32_t shift, dp::RoundToWidth(grid, width, radius, norm, coins));
  return ClippedPayload{.bytes = Pack(grid, width), .clipped = outcome.clipped, .shift = shift};
}

// Delta and residual together. A sum that is beyond all floats would never be sent: what had been left is left out.
std::vector<float> WithResidual(std::span<const float> delta, std::span<const float> residual) {
  std::vector<float> sum(delta.begin(), delta.end());
  for (std::size_t i = 0; i < residual.size(); ++i) {
    sum[i] += residual[i];
    if (!std::isfinite(sum[i]) && std::isfinite(delta[i])) return {delta.begin(), delta.end()};
  }
  return sum;
}

struct SparsePayload {
  ClippedPayload payload;
  std::vector<float> unsent;
};

// What the clip and the rounding take from the entries that are sent is not left for later: a clip that always bites
// would let the residual grow without end, and coins are right on average without it.
Result<SparsePayload> SparsePayloadOf(const codec::Lease& lease, std::span<const float> delta,
                                      const UpdateOptions& options) {
  std::vector<float> wanted = WithResidual(delta, options.residual);
  TACIT_TRY_VOID(dp::CheckFinite(wanted));
  const TopK chosen = TakeTopK(wanted, lease.top_k);
  TACIT_TRY(ClippedPayload payload, GridPayload(lease, chosen.values, WidthOf(options.encoding)));
  payload.bytes.insert(payload.bytes.end(), chosen.bitmap.begin(), chosen.bitmap.end());
  return SparsePayload{.payload = std::move(payload), .unsent = std::move(wanted)};
}

std::unexpected<Error> Damaged() {
  return Fail(ErrorCode::kMalformed, "the stored update is cut or damaged");
}

// Takes fields from the front of bytes that nobody vouches for.
class FieldReader {
 public:
  explicit FieldReader(ByteSpan rest) : rest_(rest) {}

  std::optional<ByteSpan> Take(std::uint64_t count) {
    if (count > rest_.size()) return std::nullopt;
    const ByteSpan field = rest_.first(static_cast<std::size_t>(count));
    rest_ = rest_.subspan(field.size());
    return field;
  }
  std::optional<std::uint64_t> TakeU64() {
    const std::optional<ByteSpan> field = Take(sizeof(std::uint64_t));
    if (!field) return std::nullopt;
    std::uint64_t value = 0;
    std::memcpy(&value, field->data(), sizeof value);
    return value;
  }
  // A field with its length in front.
  std::optional<ByteSpan> TakeSized() {
    const std::optional<std::uint64_t> size = TakeU64();
    return size ? Take(*size) : std::nullopt;
  }
  [[nodiscard]] bool empty() const { return rest_.empty(); }

 private:
  ByteSpan rest_;
};

// What a sparse update of the header leaves unsent, when it can be that.
std::optional<std::vector<float>> ReadUnsent(const codec::UpdateHeader& header, ByteSpan bytes) {
  const std::uint64_t parameters = bytes.size() / sizeof(float);
  const std::uint64_t each = codec::EntryBytes(header.encoding);
  const std::uint64_t bitmap = codec::SparsePayloadBytes(header.encoding, parameters, 0);
  if (parameters == 0 || bytes.size() % sizeof(float) != 0 || header.payload_bytes <= bitmap) return std::nullopt;
  const std::uint64_t values = header.payload_bytes - bitmap;
  if (values % each != 0 || values / each > parameters) return std::nullopt;
  std::vector<float> unsent(parameters);
  std::memcpy(unsent.data(), bytes.data(), bytes.size());
  if (!dp::CheckFinite(unsent)) return std::nullopt;
  return unsent;
}

}  // namespace

bool IsSparse(const codec::Lease& lease, codec::Encoding encoding) {
  return lease.top_k > 0 && !lease.local && encoding != codec::Encoding::kFloat32;
}

Result<PendingUpdate> MakeUpdate(const codec::Lease& lease, std::span<const float> delta,
                                 const UpdateOptions& options) {
  if (delta.size_bytes() != lease.model_bytes) {
    return Fail(ErrorCode::kInvalidArgument, "an update of " + std::to_string(delta.size()) +
                                                 " parameters for a model of " +
                                                 std::to_string(lease.model_bytes / sizeof(float)));
  }
  TACIT_CHECK(options.residual.empty() || options.residual.size() == delta.size(), "a residual is of one model");
  PendingUpdate update{.round = {lease.task, lease.round}, .header = {}, .payload = {}};
  ClippedPayload made;
  const codec::Encoding encoding = lease.local ? codec::Encoding::kGridInt32 : options.encoding;
  const bool sparse = IsSparse(lease, encoding);
  if (sparse) {
    TACIT_TRY(SparsePayload parts, SparsePayloadOf(lease, delta, options));
    made = std::move(parts.payload);
    update.unsent = std::move(parts.unsent);
  } else if (encoding != codec::Encoding::kFloat32) {
    TACIT_TRY(made, GridPayload(lease, delta, WidthOf(encoding)));
  } else {
    const ByteSpan bytes = AsBytes(delta);
    made.bytes.assign(bytes.begin(), bytes.end());
  }
  update.payload = std::move(made.bytes);
  update.header = {.schema_digest = lease.schema_digest,
                   .encoding = encoding,
                   .payload_bytes = update.payload.size(),
                   .payload_digest = Xxh3(update.payload),
                   // Where counts do not matter none is told: it would say something about the data.
                   .example_count = lease.local ? 0 : std::min(options.example_count, lease.max_examples),
                   // Told only where it is asked for, and then noised: it says something about the data.
                   .clipped = made.clipped && lease.tells_clipped && !lease.local,
                   .shift = made.shift,
                   .sparse = sparse,
                   .zstd = lease.takes_zstd};
  return update;
}

PendingStore::PendingStore(const std::filesystem::path& state_directory) : file_(state_directory / "pending_update") {}

Result<void> PendingStore::Save(const PendingUpdate& update) const {
  ByteWriter writer;
  writer.Raw(AsBytes(kMagic)).Text(update.round.task.str()).U64(update.round.round);
  writer.Text(AsText(codec::Encode(update.header))).Text(AsText(update.payload));
  if (update.header.sparse) writer.Text(AsText(AsBytes(std::span<const float>(update.unsent))));
  return WriteFileAtomic(file_, WithDigest(std::move(writer)), kOwnerOnly);
}

std::optional<PendingUpdate> PendingStore::Load() const {
  const auto bytes = ReadFile(file_, kLargestPending);
  if (!bytes && bytes.error().code == ErrorCode::kNotFound) return std::nullopt;
  if (bytes) {
    if (auto update = ParsePendingUpdate(*bytes)) return *std::move(update);
  }
  Drop();
  return std::nullopt;
}

void PendingStore::Drop() const {
  RemoveQuietly(file_);
}

Result<PendingUpdate> ParsePendingUpdate(ByteSpan file) {
  const std::optional<ByteSpan> content = ContentOf(kMagic, file);
  if (!content) return Damaged();
  FieldReader reader(*content);
  const auto task = reader.TakeSized();
  const auto round = reader.TakeU64();
  const auto header_bytes = reader.TakeSized();
  const auto payload = reader.TakeSized();
  if (!task || !round || !header_bytes || !payload) return Damaged();
  TACIT_TRY(TaskId id, TaskId::Parse(AsText(*task)));
  TACIT_TRY(const codec::UpdateHeader header, codec::ParseUpdateHeader(*header_bytes));
  if (header.payload_bytes != payload->size()) return Damaged();
  PendingUpdate update{
      .round = {std::move(id), *round}, .header = header, .payload = {payload->begin(), payload->end()}};
  if (header.sparse) {
    const auto bytes = reader.TakeSized();
    auto unsent = bytes ? ReadUnsent(header, *bytes) : std::nullopt;
    if (!unsent) return Damaged();
    update.unsent = *std::move(unsent);
  }
  if (!reader.empty()) return Damaged();
  return update;
}

}  // namespace tacit::upload
