#pragma once

#include <cstdint>
#include <filesystem>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/result.h"

namespace tacit::delivery {

/// A download that has begun, and goes on after any stop where it was.
class PartFile {
 public:
  explicit PartFile(std::filesystem::path path) : path_(std::move(path)) {}

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// How many bytes are here; 0 for none.
  [[nodiscard]] std::uint64_t Size() const;
  /// Errors: kUnavailable when the disk does not take them.
  Result<void> Append(ByteSpan bytes) const;
  /// Gives the file, which is whole, its name: durable on return. Errors: as Append.
  Result<void> FinishAs(const std::filesystem::path& whole) const;

 private:
  std::filesystem::path path_;
};

}  // namespace tacit::delivery
