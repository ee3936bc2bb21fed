#include "cli/client.h"

#include <utility>

#include "cli/fields.h"
#include "cli/text.h"
#include "common/net/problem_reader.h"

namespace tacit::cli {
namespace {

constexpr std::size_t kLargestDocument = 16UL * 1024 * 1024;
// 2^28 parameters of four bytes, and room for the names around them.
constexpr std::size_t kLargestModel = (std::size_t{1} << 30U) + kLargestDocument;
constexpr Millis kDownloadTimeout{30 * 60 * 1000};
constexpr std::size_t kPage = 500;
constexpr std::size_t kMostItems = 10'000'000;

constexpr const char* kCheckPort = "check the port of --server: operators are served on [api] port, 8444 by default";

// The command that lists what there is of the kind that was asked for.
std::string ListFor(std::string_view target) {
  if (target.contains("/access/")) return "tacit access token list";
  if (target.contains("/enrolment/tokens/")) return "tacit device token list";
  return target.contains("/devices") || target.contains("/enrolment") ? "tacit device list" : "tacit task list";
}

// The task in the path; nothing where it names none.
std::string TaskIn(std::string_view target) {
  constexpr std::string_view kTasks = "/api/v1/tasks/";
  if (!target.starts_with(kTasks)) return {};
  target.remove_prefix(kTasks.size());
  return std::string(target.substr(0, target.find_first_of("/:?")));
}

std::string HintForCode(ErrorCode code, std::string_view target) {
  switch (code) {
    case ErrorCode::kBudgetExhausted:
      return TaskIn(target).empty() ? "tacit task list" : "tacit privacy show " + TaskIn(target);
    case ErrorCode::kUnauthenticated:
      return "show who you are to this server: --context, or --cert and --key, or --token-file";
    case ErrorCode::kPermissionDenied:
      return "tacit whoami shows your role; ask with one that allows this";
    case ErrorCode::kNotFound:
    case ErrorCode::kConflict:
      return ListFor(target);
    case ErrorCode::kChanged:
      return "tacit privacy show " + TaskIn(target);
    case ErrorCode::kRateLimited:
    case ErrorCode::kUnavailable:
    case ErrorCode::kDeadlineExceeded:
      return "the same command again in a moment; the server's log says more";
    case ErrorCode::kInternal:
    case ErrorCode::kDataLoss:
      return "look at the server's log";
    default:
      return "correct what the message names and run the same command again";
  }
}

Outcome<Json> ReadAnswer(Outcome<net::ClientResponse> response) {
  if (!response) return std::unexpected(std::move(response).error());
  Json document = Json::parse(response->body, nullptr, false);
  if (document.is_discarded()) {
    return std::unexpected(Failure{ExitCode::kInternal,
                                   {ErrorCode::kMalformed, "the server's answer is not JSON"},
                                   "check that --server is the api listener, and of the same version: tacit version"});
  }
  return document;
}

}  // namespace

Failure FailureOfAnswer(const net::ClientResponse& response, std::string_view target) {
  Error error = net::ReadProblem(response);
  const ErrorCode code = error.code;
  // Another listener of the server answered: operators are served by one of them only.
  const bool wrong_port = code == ErrorCode::kNotFound && error.message.contains("this listener has nothing at");
  std::string hint = wrong_port ? kCheckPort : HintForCode(code, target);
  return {ExitCodeOfProblem(code), std::move(error), std::move(hint)};
}

std::string HintForTransport(const Error& error, const Context& context) {
  if (error.code == ErrorCode::kUnauthenticated) {
    return "check that --context (or --ca, --cert, --key) belongs to this server: " +
           FormatEndpoint(context.client.server);
  }
  // Nothing that runs or does not run is at fault when the name is not known.
  if (error.message.starts_with("cannot resolve"))
    return context.directory.empty() ? "check the host of --server"
                                     : "check the host of --server, or of \"server\" in " +
                                           ShellQuote((context.directory / kContextFile).string());
  // Something listens there, so that starting the server would only fail.
  if (error.message.contains("does not answer with TLS")) return kCheckPort;
  if (context.directory.empty())
    return "check that tacitd runs and listens at " + FormatEndpoint(context.client.server);
  return "tacitd --config " + ShellQuote((context.directory / "tacitd.toml").string());
}

Outcome<ApiClient> ApiClient::Create(Context context) {
  auto client = net::HttpsClient::Create(context.client);
  if (!client) return UsageFailure(client.error(), "check the files that --ca, --cert and --key, or the context, name");
  return ApiClient(std::move(context), *std::move(client));
}

Outcome<net::ClientResponse> ApiClient::Send(net::ClientRequest request) {
  if (!context_.token.empty()) request.headers.emplace_back("Authorization", "Bearer " + context_.token);
  auto response = client_.Send(request);
  if (!response) {
    const Error& error = response.error();
    return std::unexpected(Failure{ExitCodeOfTransport(error.code), error, HintForTransport(error, context_)});
  }
  if (response->status < 200 || response->status > 299)
    return std::unexpected(FailureOfAnswer(*response, request.target));
  return *std::move(response);
}

Outcome<Json> ApiClient::Get(const std::string& target) {
  net::ClientRequest request;
  request.target = target;
  request.headers = {{"Accept", "application/json"}};
  request.max_response_bytes = kLargestDocument;
  return ReadAnswer(Send(std::move(request)));
}

Outcome<Json> ApiClient::PostIfMatch(const std::string& target, const Json& body, const std::string& tag) {
  const std::string text = body.is_null() ? std::string() : body.dump();
  net::ClientRequest request;
  request.method = "POST";
  request.target = target;
  request.headers = {{"Accept", "application/json"}, {"Content-Type", "application/json"}};
  if (!tag.empty()) request.headers.emplace_back("If-Match", tag);
  request.body = {AsBytes(text)};
  request.max_response_bytes = kLargestDocument;
  return ReadAnswer(Send(std::move(request)));
}

Outcome<Json> ApiClient::PostFile(const std::string& target, const Upload& upload) {
  net::ClientRequest request;
  request.method = "POST";
  request.target = target;
  request.headers = {
      {"Accept", "application/json"}, {"Content-Type", upload.content_type}, {"X-Tacit-File", upload.file_name}};
  request.body = {upload.bytes};
  request.max_response_bytes = kLargestDocument;
  return ReadAnswer(Send(std::move(request)));
}

Outcome<net::ClientResponse> ApiClient::Download(const std::string& target) {
  net::ClientRequest request;
  request.target = target;
  request.max_response_bytes = kLargestModel;
  request.timeout = kDownloadTimeout;
  if (progress_) request.on_progress = std::ref(progress_);  // a copy would forget what it has drawn
  auto response = Send(std::move(request));
  if (progress_) progress_({});
  return response;
}

Outcome<Json> ApiClient::GetAll(const std::string& target, std::string after) {
  Json all = Json::array();
  while (all.size() < kMostItems) {
    const std::string start = after.empty() ? "" : "&after=" + PercentEncode(after);
    TACIT_CLI_TRY(const Json page, Get(target + "?limit=" + std::to_string(kPage) + start));
    const Json& items = MemberAt(page, "items");
    if (items.is_array()) all.insert(all.end(), items.begin(), items.end());
    const Json& next = MemberAt(page, "next_cursor");
    // A server that gives the same page again would be asked for ever.
    if (!next.is_string() || next == after) break;
    after = next.get<std::string>();
  }
  return all;
}

}  // namespace tacit::cli
