#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/rate_limiter.h"
#include "common/base/result.h"
#include "edge_agent/serving/token_file.h"

namespace tacit::serving {

/// Lets in who shows a token of a token file, which is read again when it has changed: a token that is revoked opens
/// nothing from the next request on. While the file cannot be read, nobody is let in. Threads: any.
/// Privacy: neither tokens nor what was shown in their place are logged.
class TokenGate {
 public:
  /// `log` and `clock` outlive it.
  TokenGate(std::filesystem::path file, Logger& log, const Clock& clock);

  /// The name of the token in an Authorization header. Errors: kUnauthenticated; kRateLimited once wrong tokens have
  /// been shown too often in a minute, which a right one does not notice; kUnavailable without the file.
  Result<std::string> NameOf(std::optional<std::string_view> authorization);

 private:
  /// What tells a file from the one that took its place. Source: stat(2).
  struct Stamp {
    dev_t device = 0;
    ino_t inode = 0;
    std::int64_t changed_ns = 0;
    off_t size = 0;
    bool operator==(const Stamp&) const = default;
  };
  std::optional<Stamp> Look() const;
  void ReadIfChanged();
  Result<std::string> Refuse(std::string_view reason, std::string_view what);

  const std::filesystem::path file_;
  Logger& log_;
  const Clock& clock_;
  RateLimiter wrong_;
  std::mutex mutex_;
  std::optional<Stamp> stamp_;                    // guarded by mutex_, as the rest
  std::optional<std::vector<KeptToken>> tokens_;  // nothing while they cannot be read
  bool told_ = false;                             // that they cannot
};

}  // namespace tacit::serving
