#include "edge_agent/upload/kept_files.h"

#include <algorithm>
#include <functional>
#include <system_error>
#include <utility>
#include <vector>

namespace tacit::upload {

Bytes WithDigest(ByteWriter writer) {
  const Digest128 digest = Xxh3(writer.bytes());
  writer.Raw(digest);
  return std::move(writer).Take();
}

std::optional<ByteSpan> ContentOf(std::string_view magic, ByteSpan file) {
  constexpr std::size_t kDigestBytes = sizeof(Digest128);
  if (file.size() < magic.size() + kDigestBytes || AsText(file.first(magic.size())) != magic) return std::nullopt;
  const ByteSpan digested = file.first(file.size() - kDigestBytes);
  if (!std::ranges::equal(Xxh3(digested), file.last(kDigestBytes))) return std::nullopt;
  return digested.subspan(magic.size());
}

void RemoveQuietly(const std::filesystem::path& path) {
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
}

void RemoveAllButNewest(const std::filesystem::path& directory, std::size_t count) {
  std::vector<std::pair<std::filesystem::file_time_type, std::filesystem::path>> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error))
    files.emplace_back(entry.last_write_time(error), entry.path());
  std::ranges::sort(files, std::ranges::greater());
  for (std::size_t i = count; i < files.size(); ++i) RemoveQuietly(files[i].second);
}

}  // namespace tacit::upload
