#include "edge_agent/upload/model_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "common/base/files.h"
#include "common/crypto/digest.h"
#include "edge_agent/upload/kept_files.h"

namespace tacit::upload {
namespace {

constexpr std::size_t kModelsKept = 4;

std::unexpected<Error> DiskError(const std::filesystem::path& path, int error) {
  return Fail(ErrorCode::kUnavailable,
              path.string() + ": cannot be written: " + std::generic_category().message(error));
}

// Writes all of `bytes` at the end of the file.
Result<void> AppendToFile(const std::filesystem::path& path, ByteSpan bytes) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, kOwnerOnly);
  if (descriptor < 0) return DiskError(path, errno);
  int error = 0;
  while (!bytes.empty() && error == 0) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR) error = errno;
    if (written > 0) bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  // A disk that is full may say so only now.
  if (::close(descriptor) != 0 && error == 0) error = errno;
  if (error != 0) return DiskError(path, error);
  return {};
}

// The file's numbers, when it has exactly the size and digest of `model`.
std::optional<std::vector<float>> ReadVerified(const std::filesystem::path& path, const ModelName& model) {
  const auto bytes = ReadFile(path, static_cast<std::size_t>(model.bytes));
  if (!bytes || bytes->size() != model.bytes || crypto::Sha256(*bytes) != model.digest) return std::nullopt;
  std::vector<float> parameters(bytes->size() / sizeof(float));
  std::memcpy(parameters.data(), bytes->data(), parameters.size() * sizeof(float));
  return parameters;
}

}  // namespace

ModelCache::ModelCache(std::filesystem::path directory) : directory_(std::move(directory)) {}

std::filesystem::path ModelCache::WholePath(const ModelName& model) const {
  return directory_ / (ToHex(model.digest) + ".f32");
}

std::filesystem::path ModelCache::PartPath(const ModelName& model) const {
  return directory_ / (ToHex(model.digest) + ".part");
}

std::optional<std::vector<float>> ModelCache::Find(const ModelName& model) const {
  std::error_code ignored;
  if (!std::filesystem::exists(WholePath(model), ignored)) return std::nullopt;
  std::optional<std::vector<float>> parameters = ReadVerified(WholePath(model), model);
  if (!parameters) RemoveQuietly(WholePath(model));
  return parameters;
}

std::uint64_t ModelCache::BytesBegun(const ModelName& model) const {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(PartPath(model), error);
  return error ? 0 : size;
}

Result<void> ModelCache::Append(const ModelName& model, ByteSpan bytes) {
  std::error_code error;
  std::filesystem::create_directories(directory_, error);
  if (error) return DiskError(directory_, error.value());
  // One download is under way at a time: parts of others will not be asked for again.
  for (const auto& entry : std::filesystem::directory_iterator(directory_, error))
    if (entry.path().extension() == ".part" && entry.path() != PartPath(model)) RemoveQuietly(entry.path());
  return AppendToFile(PartPath(model), bytes);
}

Result<std::vector<float>> ModelCache::Finish(const ModelName& model) {
  std::optional<std::vector<float>> parameters = ReadVerified(PartPath(model), model);
  if (!parameters) {
    RemoveQuietly(PartPath(model));
    return Fail(ErrorCode::kMalformed, "the model that was downloaded does not have the digest " + ToHex(model.digest) +
                                           " that the server named; it is thrown away");
  }
  // Not synced: a copy that a power cut damages is found out by its digest.
  std::error_code error;
  std::filesystem::rename(PartPath(model), WholePath(model), error);
  if (error) return DiskError(WholePath(model), error.value());
  RemoveAllButNewest(directory_, kModelsKept);
  return *std::move(parameters);
}

}  // namespace tacit::upload
