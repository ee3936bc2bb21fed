#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/rollback_guard.h"
#include "common/bundle/open_bundle.h"
#include "common/net/https_client.h"
#include "edge_agent/delivery/held_model.h"
#include "edge_agent/delivery/lease_client.h"
#include "edge_agent/delivery/trusted_signer.h"
#include "edge_agent/keys/device_key.h"
#include "edge_agent/upload/backoff.h"

namespace tacit::delivery {

struct KeeperOptions {
  /// Of this process alone; made when it is missing. Holds `signer.pem`, and a directory for each task.
  std::filesystem::path directory;
  TaskId task;
  DeviceId device;
  net::ClientOptions server;                           ///< With the device's certificate and key.
  std::vector<crypto::Ed25519PublicKey> signers = {};  ///< The only ones to believe; empty: the server's own.
  upload::BackoffOptions backoff{.first = Millis(5'000), .longest = std::chrono::minutes(15)};
  std::uint64_t seed = 0;  ///< Of waits; must differ between devices.
};

/// What there is to use now.
struct Current {
  HeldModel model;
  std::filesystem::path bundle;  ///< Is read again by whoever uses it, through Open: a disk can change.
};

/// What Refresh did.
enum class Change : std::uint8_t {
  kRenewed,    ///< The same version, with a new lease.
  kInstalled,  ///< Another version.
};
struct Refreshed {
  Change change = Change::kRenewed;
  Current current;
};

/// Keeps the newest model of one task on this device, sealed, with a lease that holds. Nothing takes the place of what
/// is there before all of it was verified (common/bundle), and what takes it does so in one durable step. Until Confirm
/// says that a version is in use, the one before stays beside it.
/// Threads: one at a time, but Open and Cancel from any.
class ModelKeeper {
 public:
  /// Does not connect. `key`, `clock` and `log` outlive it. Errors: those of the disk, and of net::HttpsClient::Create.
  static Result<ModelKeeper> Create(KeeperOptions options, keys::DeviceKey& key, const Clock& clock, Logger& log);

  /// What is on the disk, whether or not the server can be reached. Errors: kNotFound for nothing; kGone where its
  /// lease has ended; kDataLoss where the record is damaged. Whether bundle and lease are good, Open says.
  [[nodiscard]] Result<Current> Stored() const;

  /// Asks the server for a lease of its newest version, and fetches that where it is another one than is here: in
  /// ranges, going on where an earlier attempt ended. On any error what was there stays as it was.
  /// Errors: what the server says (kConflict: it knows another key of this device, or has nothing as new as this device
  /// had; kPermissionDenied: this device is shut out); kPermissionDenied for a signer that is not believed; those of
  /// bundle::OpenBundle and OpenedBundle::Verify; those of the disk and the network.
  Result<Refreshed> Refresh();
  /// How long to wait for the next Refresh: after a success until the lease wants to be renewed, a little of it left to
  /// chance, after a failure ever longer, and never less than the server asked for.
  [[nodiscard]] Millis UntilNext() const { return until_next_; }

  /// Opens what is held, to be used. `source` reads `current.bundle`, and outlives the result.
  /// Errors: as bundle::OpenBundle. Threads: any; waits for no server.
  Result<bundle::OpenedBundle> Open(bundle::ByteSource& source, const Current& current);

  /// It is in use: from now on no older version is, and what was kept of them is removed.
  /// Errors: those of the rollback guard and the disk.
  Result<void> Confirm(const Current& current);
  /// It cannot be used: what was there before is there again, if its lease still holds, and this version is not taken
  /// again. Errors: kNotFound where nothing was; then it may be fetched anew.
  Result<Current> Discard(const Current& current);

  /// From now on `server` is asked, with another certificate of this device. Threads: not while another one cancels.
  /// Errors: as net::HttpsClient::Create; then nothing changes.
  Result<void> Reconnect(net::ClientOptions server);
  /// Makes the Refresh under way, and every later one until Reconnect, fail at once. Threads: any.
  void Cancel() { client_.Cancel(); }

 private:
  ModelKeeper(KeeperOptions options, keys::DeviceKey& key, const Clock& clock, Logger& log, LeaseClient client);

  Result<codec::ModelLeaseRequest> RequestNow();
  Result<Refreshed> TryRefresh();
  [[nodiscard]] Millis UntilRenewal(const HeldModel& model);
  Result<HeldModel> Take(const codec::ModelLeaseReply& reply, const bundle::SignerSet& signers,
                         const std::optional<HeldModel>& before);
  Result<void> Fetch(const codec::ModelLeaseReply& reply, const HeldModel& model, const bundle::SignerSet& signers);
  /// Reads all of a bundle. Says which version it is, and which it still allows.
  Result<bundle::ManifestFields> Verify(const std::filesystem::path& file, const HeldModel& model,
                                        const bundle::SignerSet& signers);
  Result<bundle::OpenedBundle> OpenWith(bundle::ByteSource& source, const HeldModel& model,
                                        const bundle::SignerSet& signers);
  Result<void> Write(const HeldModel& model, const std::optional<HeldModel>& before) const;
  void RemoveOthers(const Digest256& manifest) const;
  [[nodiscard]] Current CurrentOf(HeldModel model) const;

  KeeperOptions options_;
  keys::DeviceKey* key_;
  std::unique_ptr<std::mutex> key_mutex_ = std::make_unique<std::mutex>();  // guards key_ and guard_
  const Clock* clock_;
  Logger* log_;
  std::unique_ptr<RollbackGuard> guard_;
  bundle::ModelName name_;
  HeldFiles files_;
  TrustedSigner signer_;
  LeaseClient client_;
  upload::Backoff backoff_;
  SplitMix64 random_;
  Millis until_next_{0};
  std::optional<Digest256> discarded_;
};

}  // namespace tacit::delivery
