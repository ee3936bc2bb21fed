#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include <openssl/ssl.h>

#include "common/base/result.h"

namespace tacit::load {

/// What a device proves itself with.
struct Identity {
  std::string name;
  std::string certificate_pem;
  std::string key_pem;
};

inline constexpr std::size_t kMaxPemBytes = std::size_t{1} << 20U;

struct FleetOptions {
  std::filesystem::path directory;  ///< Of `tacit init`: its CA signs, and its store gets the devices' rows.
  std::string trust_domain;
  std::size_t devices = 0;
};

/// Makes devices with keys and certificates of their own, as if each had enrolled, and keeps them in
/// `directory`/fleet.pem. The server must not run: its store is locked meanwhile. Devices of an earlier call stay.
/// Errors: those of the store and of the disk.
Result<void> PrepareFleet(const FleetOptions& options);

/// The first `devices` of what PrepareFleet made. Errors: kNotFound when there are fewer.
Result<std::vector<Identity>> LoadFleet(const std::filesystem::path& directory, std::size_t devices);

}  // namespace tacit::load
