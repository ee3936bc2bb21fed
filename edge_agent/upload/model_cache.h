#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"

namespace tacit::upload {

/// A model as the server names it: by the SHA-256 of its bytes, so a copy never goes stale.
struct ModelName {
  Digest256 digest{};
  std::uint64_t bytes = 0;
};

/// Models on this device's disk, whole or begun. Keeps the latest few. Threads: one at a time, one process a directory.
class ModelCache {
 public:
  /// `directory` is made when first needed.
  explicit ModelCache(std::filesystem::path directory);

  /// The model when all of it is here and its digest is right; a damaged copy is removed and not found.
  [[nodiscard]] std::optional<std::vector<float>> Find(const ModelName& model) const;
  /// How many bytes of an unfinished download are here.
  [[nodiscard]] std::uint64_t BytesBegun(const ModelName& model) const;
  /// Adds to an unfinished download. Errors: kUnavailable when the disk does not take it.
  Result<void> Append(const ModelName& model, ByteSpan bytes);
  /// Turns a finished download into a model. Errors: kMalformed when its size or digest is wrong; the copy is then
  /// gone.
  Result<std::vector<float>> Finish(const ModelName& model);

 private:
  [[nodiscard]] std::filesystem::path WholePath(const ModelName& model) const;
  [[nodiscard]] std::filesystem::path PartPath(const ModelName& model) const;

  std::filesystem::path directory_;
};

}  // namespace tacit::upload
