#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/result.h"
#include "edge_agent/app/serve_loop.h"

namespace CLI {
class App;
}  // namespace CLI

namespace tacit::agent {

/// What `tacit-agent serve` was told.
struct ServeArguments {
  std::filesystem::path state;
  std::string task;
  std::filesystem::path socket;
  std::string socket_mode = "0660";
  std::string listen;                 ///< Empty: the socket alone.
  std::filesystem::path tokens;       ///< Who may ask there.
  std::filesystem::path certificate;  ///< PEM; empty: one of its own.
  std::filesystem::path tls_key;
  std::string key = "file";
  std::vector<std::filesystem::path> signers = {};  ///< PEM; empty: the server's own key.
  std::uint64_t max_batch = 32;                     ///< Rows.
  std::uint64_t max_delay_ms = 0;
  std::uint64_t max_rows = 1024;
  std::uint64_t max_body_mib = 16;
  std::uint64_t deadline_ms = 30'000;
  std::uint64_t report_interval_s = 900;
  std::uint64_t requests_per_minute = 0;
  std::uint64_t rows_per_minute = 0;
  std::uint64_t mib_per_minute = 0;
  std::uint64_t concurrent = 0;
  LogLevel log_level = LogLevel::kInfo;
};

/// Adds the command to `app`; `serve` is filled when it is parsed.
void AddServe(CLI::App& app, ServeArguments& serve);

/// Errors: kInvalidArgument, naming the option.
Result<ServeOptions> OptionsOf(const ServeArguments& arguments);

}  // namespace tacit::agent
