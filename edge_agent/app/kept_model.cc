#include "edge_agent/app/kept_model.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>
#include <utility>

#include "common/base/files.h"
#include "common/crypto/random.h"
#include "common/crypto/signing.h"
#include "edge_agent/enrolment/renew.h"

namespace tacit::agent {
namespace {

constexpr std::size_t kLargestPem = std::size_t{64} * 1024;
constexpr Millis kQuickRenewal{10'000};

Result<std::vector<crypto::Ed25519PublicKey>> ReadSigners(const std::vector<std::filesystem::path>& files) {
  std::vector<crypto::Ed25519PublicKey> keys;
  for (const std::filesystem::path& file : files) {
    TACIT_TRY(const Bytes pem, ReadFile(file, kLargestPem));
    const auto key = crypto::ReadEd25519PublicPem(AsText(pem));
    if (!key) return Fail(ErrorCode::kInvalidArgument, file.string() + ": " + key.error().message);
    keys.push_back(*key);
  }
  return keys;
}

std::filesystem::path CredentialsDirectory() {
  const char* const directory = std::getenv("CREDENTIALS_DIRECTORY");  // NOLINT(concurrency-mt-unsafe): none sets it
  return directory == nullptr ? "" : directory;
}

Result<void> MakeDirectory(const std::filesystem::path& directory) {
  if (::mkdir(directory.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return Fail(ErrorCode::kUnavailable,
              directory.string() + ": cannot be made: " + std::generic_category().message(errno));
}

}  // namespace

Result<KeptModel> OpenKeptModel(const KeptModelOptions& options, const enrolment::EnrolledIdentity& identity,
                                const Clock& clock, Logger& log) {
  TACIT_TRY(std::vector<crypto::Ed25519PublicKey> signers, ReadSigners(options.signers));
  const std::filesystem::path directory = options.state / "delivery";
  TACIT_TRY_VOID(MakeDirectory(directory));
  TACIT_TRY(StateLock lock, StateLock::Take(directory));
  TACIT_TRY(keys::DeviceKey opened, keys::OpenDeviceKey({.state = directory,
                                                         .place = options.key,
                                                         .credentials = CredentialsDirectory(),
                                                         .if_missing = options.if_missing}));
  auto key = std::make_unique<keys::DeviceKey>(std::move(opened));
  TACIT_TRY(delivery::ModelKeeper keeper,
            delivery::ModelKeeper::Create({.directory = directory,
                                           .task = options.task,
                                           .device = identity.device,
                                           .server = enrolment::ClientOptionsFor(identity),
                                           .signers = std::move(signers),
                                           .seed = crypto::OsRandom().NextU64()},
                                          *key, clock, log));
  return KeptModel{.lock = std::move(lock), .key = std::move(key), .keeper = std::move(keeper)};
}

Result<enrolment::EnrolledIdentity> FreshIdentity(const std::filesystem::path& state, const Clock& clock) {
  TACIT_TRY(enrolment::EnrolledIdentity identity, enrolment::LoadIdentity(state));
  if (clock.Now() < enrolment::RenewalDueAt(identity)) return identity;
  const auto lock = StateLock::Take(state, Millis(0));
  if (!lock) return identity;
  auto fresh = enrolment::Renew(identity, {.state_directory = state, .timeout = kQuickRenewal}, clock);
  return fresh ? *std::move(fresh) : std::move(identity);
}

}  // namespace tacit::agent
