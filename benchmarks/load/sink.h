#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>

#include "common/base/result.h"

namespace tacit::load {

/// A server that does nothing but TLS: mutual handshakes, as `tacitd` has them, and bytes that are read into one buffer
/// as large as the largest body, touched before, and forgotten. What it takes is what the machine's TLS takes.
class Sink {
 public:
  struct Options {
    std::filesystem::path directory;  ///< Of `tacit init`: the server's certificate and key, and the CA.
    std::size_t largest_body = 0;
  };
  /// In a process of its own. Errors: kUnavailable.
  static Result<Sink> Start(const Options& options);
  Sink(Sink&& other) noexcept;
  Sink& operator=(Sink&&) = delete;
  ~Sink();

  [[nodiscard]] pid_t process() const { return process_; }
  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  Sink(pid_t process, std::uint16_t port) : process_(process), port_(port) {}
  pid_t process_;
  std::uint16_t port_;
};

}  // namespace tacit::load
