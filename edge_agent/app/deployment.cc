#include "edge_agent/app/deployment.h"

#include <sys/stat.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/base/files.h"

namespace tacit::agent {
namespace {

constexpr std::size_t kLargestDeployment = std::size_t{16} * 1024;
constexpr int kDeploymentDepth = 2;

using DeploymentJson = nlohmann::json;

// The library parses without a limit of depth of its own.
DeploymentJson ParseShallow(std::string_view text) {
  bool deep = false;
  auto json = DeploymentJson::parse(
      text,
      [&deep](int depth, DeploymentJson::parse_event_t /*event*/, DeploymentJson& /*value*/) {
        deep = deep || depth > kDeploymentDepth;
        return !deep;
      },
      false);
  return deep ? DeploymentJson(DeploymentJson::value_t::discarded) : json;
}

Result<std::string> TextField(const DeploymentJson& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_string())
    return Fail(ErrorCode::kInvalidArgument, "'" + std::string(key) + "' must be there, and a string");
  return found->get<std::string>();
}

Result<std::uint64_t> NumberField(const DeploymentJson& json, const char* key, std::uint64_t otherwise) {
  const auto found = json.find(key);
  if (found == json.end()) return otherwise;
  if (!found->is_number_unsigned())
    return Fail(ErrorCode::kInvalidArgument, "'" + std::string(key) + "' must be a number from 0 on");
  return found->get<std::uint64_t>();
}

Result<crypto::Ed25519PublicKey> KeyOf(const DeploymentJson& text) {
  crypto::Ed25519PublicKey key{};
  if (!text.is_string()) return Fail(ErrorCode::kInvalidArgument, "'signers' must hold strings");
  TACIT_TRY(const Bytes bytes, ParseHex(text.get_ref<const std::string&>()));
  if (bytes.size() != key.size())
    return Fail(ErrorCode::kInvalidArgument, "'signers' must hold Ed25519 public keys of 64 hexadecimal digits");
  std::ranges::copy(bytes, key.begin());
  return key;
}

Result<bundle::SignerSet> SignersOf(const DeploymentJson& json) {
  const auto found = json.find("signers");
  if (found == json.end() || !found->is_array() || found->size() > bundle::kMostSigners)
    return Fail(ErrorCode::kInvalidArgument, "'signers' must be there, and an array of public keys");
  std::vector<crypto::Ed25519PublicKey> keys;
  for (const DeploymentJson& text : *found) {
    TACIT_TRY(const crypto::Ed25519PublicKey key, KeyOf(text));
    keys.push_back(key);
  }
  TACIT_TRY(const std::uint64_t threshold, NumberField(json, "threshold", 1));
  return bundle::SignerSet::Create(std::move(keys), static_cast<std::size_t>(threshold));
}

}  // namespace

DeploymentFiles::DeploymentFiles(const std::filesystem::path& state, const TaskId& task)
    : directory(state / "models" / task.str()),
      terms(directory / "deployment.json"),
      bundle(directory / "bundle"),
      lease(directory / "lease"),
      good_bundle(directory / "good.bundle"),
      good_lease(directory / "good.lease") {}

Result<Deployment> ParseDeployment(std::string_view json) {
  const DeploymentJson root = ParseShallow(json);
  if (!root.is_object()) return Fail(ErrorCode::kMalformed, "is not a JSON object, or nested too deeply");
  constexpr auto kKnown =
      std::to_array<std::string_view>({"device", "model", "signers", "threshold", "key_epoch", "minimum_version"});
  for (const auto& [key, value] : root.items()) {
    if (std::ranges::find(kKnown, key) == kKnown.end())
      return Fail(ErrorCode::kInvalidArgument, "'" + key + "' is no field of it");
  }
  TACIT_TRY(const std::string device_name, TextField(root, "device"));
  TACIT_TRY(const std::string model_name, TextField(root, "model"));
  TACIT_TRY(DeviceId device, DeviceId::Parse(device_name));
  TACIT_TRY(bundle::ModelName model, bundle::ModelName::Parse(model_name));
  TACIT_TRY(bundle::SignerSet signers, SignersOf(root));
  TACIT_TRY(const std::uint64_t key_epoch, NumberField(root, "key_epoch", 1));
  TACIT_TRY(const std::uint64_t minimum_version, NumberField(root, "minimum_version", 0));
  return Deployment{.device = std::move(device),
                    .model = std::move(model),
                    .signers = std::move(signers),
                    .key_epoch = key_epoch,
                    .minimum_version = minimum_version};
}

Result<Deployment> ReadDeployment(const std::filesystem::path& file) {
  struct stat status{};
  if (::stat(file.c_str(), &status) == 0 && (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return Fail(ErrorCode::kPermissionDenied,
                file.string() + ": others could write whom to believe into it; run chmod go-w on it");
  }
  TACIT_TRY(const Bytes bytes, ReadFile(file, kLargestDeployment));
  auto deployment = ParseDeployment(AsText(bytes));
  if (!deployment) return Annotate(deployment.error(), file.string());
  return deployment;
}

}  // namespace tacit::agent
