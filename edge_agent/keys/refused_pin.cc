#include "edge_agent/keys/refused_pin.h"

#include <sys/stat.h>

#include <system_error>

#include "common/base/bytes.h"
#include "common/base/files.h"

namespace tacit::keys {
namespace {

constexpr std::size_t kLargestMarker = 256;

}  // namespace

Result<std::string> RefusedPin::Moment() const {
  struct stat status{};
  if (::stat(pin_file_.c_str(), &status) != 0)
    return Fail(ErrorCode::kNotFound, "the PIN file " + pin_file_.string() + " is not there");
  // The time of change moves with everything that can be done to a file, and nobody can set it.
  return std::to_string(status.st_dev) + " " + std::to_string(status.st_ino) + " " +
         std::to_string(status.st_ctim.tv_sec) + " " + std::to_string(status.st_ctim.tv_nsec) + "\n";
}

Result<void> RefusedPin::CheckNotRefused() const {
  TACIT_TRY(const std::string moment, Moment());
  const auto marker = ReadFile(marker_, kLargestMarker);
  if (!marker && marker.error().code == ErrorCode::kNotFound) return {};
  if (!marker) return std::unexpected(marker.error());
  if (AsText(*marker) != moment) return {};
  return Fail(ErrorCode::kPermissionDenied,
              "the token refused the PIN in " + pin_file_.string() +
                  " before, and it is not tried again before the file is changed: each try counts towards a lock");
}

Result<void> RefusedPin::Remember() const {
  TACIT_TRY(const std::string moment, Moment());
  return WriteFileAtomic(marker_, AsBytes(moment), kOwnerOnly);
}

void RefusedPin::Forget() const {
  std::error_code ignored;
  std::filesystem::remove(marker_, ignored);
}

}  // namespace tacit::keys
