#pragma once

#include <span>
#include <string>
#include <string_view>

/// The dashboard as `build.sh` made it, which reads nothing but the REST interface.
namespace tacit::dashboard {

/// One file of it. The bytes live as long as the program.
struct File {
  std::string_view path;        ///< On the listener: "/", "/assets/dashboard.0123456789ab.js".
  std::string_view media_type;  ///< As Content-Type has it.
  std::string_view gzip;        ///< Its bytes, packed.
};

/// All files, in the order of built/files.txt.
std::span<const File> Files();

/// What `gzip` packs, which is a member that the build made.
std::string Unpack(std::string_view gzip);

}  // namespace tacit::dashboard
