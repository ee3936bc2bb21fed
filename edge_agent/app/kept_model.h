#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/result.h"
#include "edge_agent/app/state_lock.h"
#include "edge_agent/delivery/model_keeper.h"
#include "edge_agent/enrolment/identity.h"
#include "edge_agent/keys/device_key.h"
#include "edge_agent/keys/key_place.h"

namespace tacit::agent {

struct KeptModelOptions {
  std::filesystem::path state;
  TaskId task;
  keys::KeyPlace key;
  keys::IfMissing if_missing = keys::IfMissing::kMake;
  std::vector<std::filesystem::path> signers = {};  ///< PEM; empty: the server's own key.
};

/// The models of a task that this device keeps, with the key that opens them, for one process at a time.
struct KeptModel {
  StateLock lock;
  std::unique_ptr<keys::DeviceKey> key;
  delivery::ModelKeeper keeper;
};

/// Opens `delivery` in the state directory, which is made when it is missing. `clock` and `log` outlive the result.
/// Errors: kConflict where another process has it; those of keys::OpenDeviceKey and delivery::ModelKeeper::Create.
Result<KeptModel> OpenKeptModel(const KeptModelOptions& options, const enrolment::EnrolledIdentity& identity,
                                const Clock& clock, Logger& log);

/// The identity in the state directory, with a new certificate where that is due: a device that only uses models has no
/// other time to ask for it. Where `tacit-agent run` has the directory, it does that.
/// Errors: as enrolment::LoadIdentity; a certificate that could not be renewed yet is none.
Result<enrolment::EnrolledIdentity> FreshIdentity(const std::filesystem::path& state, const Clock& clock);

}  // namespace tacit::agent
