#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string_view>

#include "common/base/bytes.h"

// How the agent keeps what it can do without: files that are read again only when they are whole.
namespace tacit::upload {

/// What a file begins with, its content, and then the digest of both, XXH3-128, that ends it. Shape: the writer has
/// begun with the magic.
Bytes WithDigest(ByteWriter writer);
/// The content of such a file; nothing when it is another kind's, cut or damaged.
std::optional<ByteSpan> ContentOf(std::string_view magic, ByteSpan file);

/// Whether or not it is there.
void RemoveQuietly(const std::filesystem::path& path);
/// Leaves the `count` files of a directory that were written last.
void RemoveAllButNewest(const std::filesystem::path& directory, std::size_t count);

}  // namespace tacit::upload
