#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "common/base/bytes.h"

namespace tacit::bundle {

/// Where the bytes of a bundle come from, one after another. Threads: one.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// Fills `into` from its beginning and says how far: less than all of it only at the end. Errors: what reading says.
  virtual Result<std::size_t> Read(std::span<std::uint8_t> into) = 0;
};

/// Bytes in memory, which outlive it.
class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(ByteSpan bytes) : left_(bytes) {}
  Result<std::size_t> Read(std::span<std::uint8_t> into) override;

 private:
  ByteSpan left_;
};

/// A regular file.
class FileSource final : public ByteSource {
 public:
  /// Errors: as OpenToRead.
  static Result<FileSource> Open(const std::filesystem::path& path);
  FileSource(FileSource&& other) noexcept;
  FileSource& operator=(FileSource&&) = delete;
  ~FileSource() override;

  /// Errors: kUnavailable for what the disk says.
  Result<std::size_t> Read(std::span<std::uint8_t> into) override;

 private:
  FileSource(int file, std::filesystem::path path);
  int file_;
  std::filesystem::path path_;
};

}  // namespace tacit::bundle
