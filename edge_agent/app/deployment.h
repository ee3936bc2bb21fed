#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/bundle/envelope.h"
#include "common/bundle/manifest.h"

namespace tacit::agent {

/// The files of a model that a device serves: `bundle` and `lease`, which are replaced as wholes, and
/// `deployment.json`, which says whom to believe. `good.bundle` and `good.lease` are the pair that was served last.
struct DeploymentFiles {
  DeploymentFiles(const std::filesystem::path& state, const TaskId& task);
  std::filesystem::path directory;
  std::filesystem::path terms;
  std::filesystem::path bundle;
  std::filesystem::path lease;
  std::filesystem::path good_bundle;
  std::filesystem::path good_lease;
};

/// Which device serves which model, and whose signatures it believes.
struct Deployment {
  DeviceId device;
  bundle::ModelName model;
  bundle::SignerSet signers;  ///< Of bundles and of leases.
  std::uint64_t key_epoch;
  std::uint64_t minimum_version;
};

/// Reads deployment.json: `device`, `model`, `signers` (Ed25519 public keys, hexadecimal), and, where they are not 1, 1
/// and 0, `threshold`, `key_epoch` and `minimum_version`.
/// Errors: kMalformed; kInvalidArgument naming the field.
Result<Deployment> ParseDeployment(std::string_view json);
/// Errors: as ParseDeployment and ReadFile; kPermissionDenied for a file that others than its owner may write to.
Result<Deployment> ReadDeployment(const std::filesystem::path& file);

}  // namespace tacit::agent
