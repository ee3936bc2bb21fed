#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/crypto/ca.h"

namespace tacit::net::testing {

/// A directory that goes away with its owner.
class TempDirectory {
 public:
  TempDirectory();
  ~TempDirectory();
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  /// Writes a file and returns its path.
  std::string Write(std::string_view name, std::string_view text) const;
  [[nodiscard]] std::string Path(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// A certificate and its key, in PEM and as files.
struct Identity {
  std::string certificate_pem;
  std::string key_pem;
  std::string certificate_path;
  std::string key_path;
};

/// What a fleet has: a CA, a server for localhost and 127.0.0.1, and clients of every kind of fault.
class Pki {
 public:
  explicit Pki(std::string_view common_name = "Test CA");

  [[nodiscard]] const std::string& ca_path() const { return ca_path_; }
  [[nodiscard]] std::string ca_pem() const { return ca_.CertPem(); }
  [[nodiscard]] const crypto::CertificateAuthority& ca() const { return ca_; }

  /// `starts` is relative to now.
  [[nodiscard]] Identity Client(std::string_view name, std::chrono::hours starts = std::chrono::hours(0),
                                std::chrono::seconds lifetime = std::chrono::hours(24)) const;
  [[nodiscard]] Identity Server(std::string_view dns_name = "localhost", std::string_view ip = "127.0.0.1",
                                std::chrono::hours starts = std::chrono::hours(0),
                                std::chrono::seconds lifetime = std::chrono::hours(24)) const;

 private:
  [[nodiscard]] Identity Save(std::string_view name, std::string certificate_pem, std::string key_pem) const;
  TempDirectory directory_;
  crypto::CertificateAuthority ca_;
  std::string ca_path_;
};

/// A program's exit code and what it wrote to both outputs together.
struct ProgramEnd {
  int exit_code = -1;
  std::string output;
};

/// Runs a shell command line, for the witnesses `curl` and `openssl`. Ended after 20 s.
ProgramEnd RunShell(const std::string& command);

}  // namespace tacit::net::testing
