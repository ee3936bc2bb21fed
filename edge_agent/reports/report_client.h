#pragma once

#include <optional>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/crypto/keys.h"
#include "common/net/https_client.h"
#include "proto/codec/reports.h"

namespace tacit::reports {

/// Who a report is of, and about what.
struct Reported {
  DeviceId device;
  TaskId task;
};

/// Sends reports to the agents' listener, signed with the key that the connection is opened with. One attempt each.
/// Threads: one at a time; Cancel from any.
class ReportClient {
 public:
  /// Does not connect yet. Errors: kInvalidArgument for unusable certificates.
  static Result<ReportClient> Create(net::ClientOptions server, Reported reported);

  /// Errors: what the server answered (kConflict: this number does not come next, or was another report's), or as
  /// net::HttpsClient::Send.
  Result<codec::ReportAck> Send(ByteSpan statement);

  /// How long the latest answer asks to wait.
  [[nodiscard]] std::optional<Millis> retry_after() const { return retry_after_; }
  void Cancel() { client_.Cancel(); }

 private:
  ReportClient(net::HttpsClient client, crypto::PrivateKey key, Reported reported)
      : client_(std::move(client)), key_(std::move(key)), reported_(std::move(reported)) {}

  net::HttpsClient client_;
  crypto::PrivateKey key_;
  Reported reported_;
  std::optional<Millis> retry_after_;
};

}  // namespace tacit::reports
