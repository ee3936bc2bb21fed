#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/result.h"
#include "edge_agent/app/fault.h"
#include "edge_agent/data/dataset.h"
#include "edge_agent/enrolment/identity.h"
#include "edge_agent/upload/backoff.h"
#include "edge_agent/upload/local_ledger.h"
#include "edge_agent/upload/residual.h"
#include "edge_agent/upload/session.h"
#include "proto/codec/agent.h"

namespace tacit::agent {

struct LoopOptions {
  std::filesystem::path state_directory;
  std::optional<TaskId> task = std::nullopt;                 ///< Only this one; any otherwise.
  std::optional<std::uint64_t> rounds_limit = std::nullopt;  ///< End after so many counted updates.
  codec::Encoding encoding = codec::Encoding::kGridInt32;
  std::uint64_t seed = 0;                 ///< Of the order of rows, with the names of device, task and round.
  std::uint64_t memory_limit_mib = 2048;  ///< That training may take; a lease that would take more is left alone.
  Fault fault = Fault::kNone;
  upload::BackoffOptions backoff = {};
  Millis long_poll{30'000};
  /// Given: no update leaves without noise of this device, and no more of them than this.
  std::optional<upload::LocalCap> local_cap = std::nullopt;
};

/// The life of an agent: check in, fetch the model, train, send the update, again; and renew the certificate in time. A
/// server that is away, a task that does not exist yet and an update that cannot be sent are waited for, for ever. Log
/// events: docs/OPERATING.md; none says anything about the data. Threads: Run in one; the stop token may be used from
/// any.
class AgentLoop {
 public:
  AgentLoop(enrolment::EnrolledIdentity identity, data::Dataset dataset, LoopOptions options, Logger& log,
            const Clock& clock);

  /// Returns when `stop` is requested or the limit of rounds is reached.
  /// Errors: kUnauthenticated when the certificate has expired and could not be renewed; kPermissionDenied when the
  ///   server shuts this device out; kInvalidArgument for an identity that cannot be used; those of LocalLedger::Open.
  ///   All else is waited out.
  Result<void> Run(const std::stop_token& stop);

 private:
  Result<void> Connect();
  Result<void> RenewWhenDue();
  /// How long a check-in may be held back: not past the next try to renew.
  [[nodiscard]] Millis LongestPoll() const;
  /// One check-in, and the round it may lead to.
  Result<void> SeekWork();
  void TakePart(const codec::Lease& lease);
  void SayCapTightened();
  [[nodiscard]] bool HasCap() const;
  void Decline(const TaskId& task, const Error& why);
  Result<void> CheckLease(const codec::Lease& lease, const model::ModelSpec& spec) const;
  Result<upload::PendingUpdate> MakeUpdate(const codec::Lease& lease);
  Result<upload::PendingUpdate> Train(const codec::Lease& lease, const model::ModelSpec& spec,
                                      std::span<const float> start);
  void Keep(upload::PendingUpdate update);
  /// What an acknowledged update left unsent, and nothing older, is for the next one.
  void AdvanceResidual(const upload::PendingUpdate& update);
  Result<void> SendPending();
  void SayWaiting(const std::string& reason);
  /// That the one task that is wanted does not exist, once; and waits before it is asked for again.
  void WaitForTask(const Error& error);
  [[nodiscard]] Error ShutOut(const Error& refusal) const;
  /// Says what failed and waits before it is tried again.
  void WaitAfter(std::string_view what, const Error& error);
  void Pause(Millis time);
  void CancelSession();

  enrolment::EnrolledIdentity identity_;
  data::Dataset dataset_;
  LoopOptions options_;
  Logger& log_;
  const Clock& clock_;
  upload::PendingStore store_;
  upload::ResidualStore residuals_;
  std::optional<upload::LocalLedger> local_ledger_;  // set by Run
  std::vector<TaskId> declined_;
  upload::Backoff backoff_;
  upload::Backoff renewal_backoff_;
  SteadyTime renewal_not_before_{};
  std::optional<upload::PendingUpdate> pending_;
  std::uint64_t rounds_counted_ = 0;
  std::string last_reason_;
  SteadyTime last_reason_at_{};
  bool task_is_missing_ = false;
  bool was_answered_ = false;  // some check-in was
  std::stop_token stop_;

  // The session is made and used by Run, and cancelled from the thread that requests the stop.
  std::mutex mutex_;
  std::unique_ptr<upload::AgentSession> session_;
  std::condition_variable_any wake_;
};

}  // namespace tacit::agent
