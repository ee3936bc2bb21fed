#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "cli/context.h"
#include "cli/failure.h"
#include "cli/output.h"
#include "common/net/https_client.h"

namespace tacit::cli {

/// The server's REST interface. What goes wrong on the way and what the server refuses come back as a Failure with its
/// exit code and the next command to try.
class ApiClient {
 public:
  static Outcome<ApiClient> Create(Context context);

  Outcome<Json> Get(const std::string& target);
  Outcome<Json> Post(const std::string& target, const Json& body) { return PostIfMatch(target, body, {}); }
  /// Done only while what it is about has this entity tag; empty: whatever it has.
  Outcome<Json> PostIfMatch(const std::string& target, const Json& body, const std::string& tag);
  struct Upload {
    std::string content_type;
    std::string file_name;
    ByteSpan bytes;
  };
  Outcome<Json> PostFile(const std::string& target, const Upload& upload);
  /// The answer as it is, for bytes that are no JSON.
  Outcome<net::ClientResponse> Download(const std::string& target);

  /// All items of a list that the server gives in pages; of those after `after`, when it is not empty.
  Outcome<Json> GetAll(const std::string& target, std::string after = {});

  /// Told how far each Download is, and at its end, however it ends, nothing of nothing.
  void OnProgress(std::function<void(const net::BodyProgress&)> progress) { progress_ = std::move(progress); }

  [[nodiscard]] const Context& context() const { return context_; }

 private:
  ApiClient(Context context, net::HttpsClient client) : context_(std::move(context)), client_(std::move(client)) {}
  Outcome<net::ClientResponse> Send(net::ClientRequest request);

  Context context_;
  net::HttpsClient client_;
  std::function<void(const net::BodyProgress&)> progress_;
};

/// The failure in an answer to a request for `target` whose status is not a success.
Failure FailureOfAnswer(const net::ClientResponse& response, std::string_view target);
/// What to try when the way to the server failed.
std::string HintForTransport(const Error& error, const Context& context);

}  // namespace tacit::cli
