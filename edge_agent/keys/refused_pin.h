#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include "common/base/result.h"

namespace tacit::keys {

/// Remembers across restarts that a token refused what a PIN file held, so that a service that is started again and
/// again does not lock its token: a file is tried again only once it was changed. What the PIN was is not remembered,
/// only which file of which moment it came from.
class RefusedPin {
 public:
  /// `marker` is where that is remembered.
  RefusedPin(std::filesystem::path pin_file, std::filesystem::path marker)
      : pin_file_(std::move(pin_file)), marker_(std::move(marker)) {}

  /// Errors: kPermissionDenied where the file is the one that was refused; kNotFound where it is not there; those of
  /// the disk.
  [[nodiscard]] Result<void> CheckNotRefused() const;
  /// Remembers the file as it is. Errors: those of the disk.
  [[nodiscard]] Result<void> Remember() const;
  void Forget() const;

 private:
  [[nodiscard]] Result<std::string> Moment() const;
  std::filesystem::path pin_file_;
  std::filesystem::path marker_;
};

}  // namespace tacit::keys
