#include "edge_agent/upload/residual.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "common/base/files.h"
#include "dp/clip.h"
#include "edge_agent/upload/kept_files.h"
#include "proto/codec/limits.h"

namespace tacit::upload {
namespace {

constexpr std::string_view kResidualMagic = "TACITRS1";
constexpr std::size_t kLargestResidual =
    kResidualMagic.size() + codec::kMaxParameters * sizeof(float) + sizeof(Digest128);
constexpr std::size_t kResidualsKept = 8;

}  // namespace

Bytes FormatResidual(std::span<const float> residual) {
  ByteWriter writer;
  writer.Raw(AsBytes(kResidualMagic)).Raw(AsBytes(residual));
  return WithDigest(std::move(writer));
}

Result<std::vector<float>> ParseResidual(ByteSpan file) {
  const auto damaged = [] { return Fail(ErrorCode::kMalformed, "the residual is cut or damaged"); };
  const std::optional<ByteSpan> numbers = ContentOf(kResidualMagic, file);
  if (!numbers) return damaged();
  std::vector<float> residual(numbers->size() / sizeof(float));
  if (residual.empty() || numbers->size() % sizeof(float) != 0) return damaged();
  std::memcpy(residual.data(), numbers->data(), numbers->size());
  if (!dp::CheckFinite(residual)) return damaged();
  return residual;
}

ResidualStore::ResidualStore(const std::filesystem::path& state_directory)
    : directory_(state_directory / "residuals") {}

// No name of a task has a point in it.
std::filesystem::path ResidualStore::FileOf(const TaskId& task, const Digest128& schema) const {
  return directory_ / (task.str() + "." + ToHex(schema));
}

std::vector<float> ResidualStore::Load(const TaskId& task, const Digest128& schema, std::size_t parameters) const {
  const auto path = FileOf(task, schema);
  const auto bytes = ReadFile(path, kLargestResidual);
  // What cannot be read now is not what is damaged.
  if (!bytes && bytes.error().code != ErrorCode::kTooLarge) return {};
  if (bytes) {
    auto residual = ParseResidual(*bytes);
    if (residual && residual->size() == parameters) return *std::move(residual);
  }
  RemoveQuietly(path);
  return {};
}

Result<void> ResidualStore::MakeDirectory() const {
  std::error_code error;
  const bool is_new = std::filesystem::create_directories(directory_, error);
  if (error) return Fail(ErrorCode::kUnavailable, directory_.string() + ": cannot be made: " + error.message());
  if (!is_new) return {};
  return SyncDirectory(directory_.parent_path());
}

Result<void> ResidualStore::Save(const TaskId& task, const Digest128& schema, std::span<const float> residual) const {
  TACIT_TRY_VOID(MakeDirectory());
  const auto path = FileOf(task, schema);
  TACIT_TRY_VOID(WriteFileAtomic(path, FormatResidual(residual), kOwnerOnly));
  RemoveOthers(task, path);
  RemoveOldest();
  return {};
}

void ResidualStore::Drop(const TaskId& task) const {
  RemoveOthers(task, {});
}

void ResidualStore::RemoveOthers(const TaskId& task, const std::filesystem::path& kept) const {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, error)) {
    const bool is_its = entry.path().filename().string().starts_with(task.str() + ".");
    if (is_its && entry.path() != kept) RemoveQuietly(entry.path());
  }
}

// And what a crash left of files that were being written, whose names have a second point.
void ResidualStore::RemoveOldest() const {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, error))
    if (std::ranges::count(entry.path().filename().string(), '.') > 1) RemoveQuietly(entry.path());
  RemoveAllButNewest(directory_, kResidualsKept);
}

}  // namespace tacit::upload
