#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/model/spec.h"
#include "common/net/https_client.h"
#include "edge_agent/upload/model_cache.h"
#include "edge_agent/upload/pending_update.h"
#include "proto/codec/agent.h"

namespace tacit::upload {

struct SessionOptions {
  net::ClientOptions server;              ///< With this device's certificate and key.
  std::filesystem::path state_directory;  ///< Models are kept below it.
  std::string agent_version;
};

/// What this device can train, told at check-in.
struct Wish {
  std::optional<TaskId> task = std::nullopt;  ///< Only this one; any otherwise.
  std::uint32_t inputs = 0;
  std::uint32_t classes = 0;
  std::vector<TaskId> declined = {};  ///< Tasks that are not wanted.
  bool only_local_noise = false;      ///< Only tasks whose devices add noise are wanted.
  Millis wait{0};                     ///< How long the server may hold the answer back when there is no work.
};

/// The model that a lease is for.
/// Errors: kMalformed when the lease's shape, digest and size contradict each other.
Result<model::ModelSpec> SpecOf(const codec::Lease& lease);

/// One device's conversation with the agents' listener; each call is one attempt, and whoever calls decides when to try
/// again. Errors of all calls: what the server answered (its code and detail), or as net::HttpsClient::Send. Threads:
/// one at a time; Cancel from any.
class AgentSession {
 public:
  /// Does not connect yet. Errors: kInvalidArgument for unusable certificates.
  static Result<AgentSession> Create(SessionOptions options);

  /// Asks for work and waits for it as long as the wish says.
  Result<codec::CheckInReply> CheckIn(const Wish& wish);

  /// The lease's model: from this device's disk, or downloaded in ranges, so that a download that breaks off goes on
  /// where it stopped, also in another process. Errors: kMalformed when the bytes do not have the promised digest.
  Result<std::vector<float>> DownloadModel(const codec::Lease& lease);

  /// What this device has spent on each task, as the server keeps it.
  Result<codec::PrivacyReply> Privacy();

  /// Sends an update; after a large one broke off, only what the server does not have of it. nullopt: the server has it
  /// durably and counts it once, however often it is sent. A value: the server refuses it for good (the round is over,
  /// or these bytes will never be taken), with its reason. An error: try again.
  Result<std::optional<Error>> Upload(const PendingUpdate& update);

  /// How long the server's latest answer asks to wait before the next request.
  [[nodiscard]] std::optional<Millis> retry_after() const { return retry_after_; }

  /// Makes the call under way and every later one fail at once. Threads: any.
  void Cancel() { client_.Cancel(); }

 private:
  AgentSession(SessionOptions options, net::HttpsClient client);
  Result<net::ClientResponse> Send(const net::ClientRequest& request);
  Result<net::ClientResponse> Put(const PendingUpdate& update, std::uint64_t offset);
  /// What the server says of an update that broke off: that it is counted, or where to go on.
  struct Counted {};
  Result<std::variant<Counted, std::uint64_t>> AskOffset(const PendingUpdate& update);
  Result<void> DownloadNextRange(const ModelName& model, std::uint64_t begun);

  SessionOptions options_;
  net::HttpsClient client_;
  ModelCache cache_;
  std::optional<Millis> retry_after_;
  std::optional<std::pair<RoundKey, Digest128>> broken_;  // the update whose upload got no answer
};

}  // namespace tacit::upload
