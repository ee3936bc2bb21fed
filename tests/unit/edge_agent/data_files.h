#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <zlib.h>

#include "common/base/bytes.h"

namespace tacit::testing {

/// A directory of its own for one test, removed afterwards.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tacit-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~ScratchDirectory() { std::filesystem::remove_all(path_); }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  std::filesystem::path Write(std::string_view name, ByteSpan bytes) const {
    const std::filesystem::path file = path_ / name;
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return file;
  }
  std::filesystem::path Write(std::string_view name, std::string_view text) const { return Write(name, AsBytes(text)); }

 private:
  std::filesystem::path path_;
};

inline Bytes ToBytes(std::string_view text) {
  const ByteSpan bytes = AsBytes(text);
  return {bytes.begin(), bytes.end()};
}

inline Bytes Gzip(ByteSpan plain) {
  z_stream zlib = {};
  EXPECT_EQ(deflateInit2(&zlib, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  Bytes packed(deflateBound(&zlib, plain.size()) + 32);
  zlib.next_in = const_cast<Bytef*>(plain.data());
  zlib.avail_in = static_cast<uInt>(plain.size());
  zlib.next_out = packed.data();
  zlib.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&zlib, Z_FINISH), Z_STREAM_END);
  packed.resize(zlib.total_out);
  deflateEnd(&zlib);
  return packed;
}

/// An NPY 1.0 file as numpy writes it.
template <typename T>
Bytes Npy(std::string_view descr, std::string_view shape, const std::vector<T>& values) {
  std::string literal =
      "{'descr': '" + std::string(descr) + "', 'fortran_order': False, 'shape': (" + std::string(shape) + "), }";
  literal.append(63 - (10 + literal.size()) % 64, ' ');
  literal += '\n';
  Bytes file = ToBytes("\x93NUMPY");
  file.push_back(1);
  file.push_back(0);
  file.push_back(static_cast<std::uint8_t>(literal.size() & 0xffU));
  file.push_back(static_cast<std::uint8_t>(literal.size() >> 8U));
  const ByteSpan data = AsBytes(std::span<const T>(values));
  const ByteSpan head = AsBytes(literal);
  file.insert(file.end(), head.begin(), head.end());
  file.insert(file.end(), data.begin(), data.end());
  return file;
}

}  // namespace tacit::testing
