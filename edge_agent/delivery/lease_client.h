#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/net/https_client.h"
#include "edge_agent/delivery/part_file.h"
#include "proto/codec/delivery.h"

namespace tacit::delivery {

/// What a device asks the agents' listener for, to use models. One attempt each.
/// Errors of all: what the server answered, or as net::HttpsClient::Send. Threads: one at a time; Cancel from any.
class LeaseClient {
 public:
  /// Does not connect yet. Errors: kInvalidArgument for unusable certificates.
  static Result<LeaseClient> Create(net::ClientOptions server, TaskId task);

  Result<codec::ModelLeaseReply> Lease(const codec::ModelLeaseRequest& request);
  /// Adds to `part` until it is the whole bundle of `version`, of so many `bytes`. Errors: kMalformed for another range
  /// than was asked for; those of the disk.
  struct Wanted {
    std::uint64_t version;
    std::uint64_t bytes;
  };
  Result<void> Download(const Wanted& wanted, const PartFile& part);

  /// How long the latest answer asks to wait.
  [[nodiscard]] std::optional<Millis> retry_after() const { return retry_after_; }
  void Cancel() { client_.Cancel(); }

 private:
  LeaseClient(net::HttpsClient client, TaskId task) : client_(std::move(client)), task_(std::move(task)) {}
  Result<net::ClientResponse> Send(const net::ClientRequest& request);
  Result<void> DownloadRange(const Wanted& wanted, const PartFile& part);

  net::HttpsClient client_;
  TaskId task_;
  std::optional<Millis> retry_after_;
};

}  // namespace tacit::delivery
