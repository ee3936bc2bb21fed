#include "common/web/web_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <utility>

#include "common/base/check.h"
#include "common/base/files.h"
#include "common/base/text.h"

namespace tacit::web {
namespace {

constexpr std::size_t kMaxCaBytes = std::size_t{1024} * 1024;
constexpr std::size_t kMaxHeadBytes = std::size_t{32} * 1024;
// Waiting ends with what is waited for, or when it is woken: this only bounds a mistake.
constexpr int kLongestWaitMillis = 1000;

struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct FreeMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using EasyPtr = std::unique_ptr<CURL, FreeEasy>;
using MultiPtr = std::unique_ptr<CURLM, FreeMulti>;
using ListPtr = std::unique_ptr<curl_slist, FreeList>;

std::unexpected<Error> NoMemory() {
  return Fail(ErrorCode::kUnavailable, "there is no memory for a request");
}

/// Once a process, before the first handle.
bool LibraryStarted() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  return started == CURLE_OK;
}

/// What an answer's bytes go into, as they come.
struct Incoming {
  std::size_t max_body_bytes = 0;
  std::string body;
  std::size_t head_bytes = 0;
  bool too_large = false;
};

// Called by libcurl, through C. Taking less than what came makes it give up.
std::size_t TakeBody(char* bytes, std::size_t one, std::size_t size, void* incoming) {
  auto& into = *static_cast<Incoming*>(incoming);
  into.too_large = size > into.max_body_bytes - into.body.size();
  if (into.too_large) return 0;
  into.body.append(bytes, size);
  return one * size;
}

std::size_t TakeHeadLine(char* /*bytes*/, std::size_t one, std::size_t size, void* incoming) {
  auto& into = *static_cast<Incoming*>(incoming);
  into.head_bytes += size;
  into.too_large = into.head_bytes > kMaxHeadBytes;
  return into.too_large ? 0 : one * size;
}

/// How far a body has gone.
struct Outgoing {
  std::span<const ByteSpan> parts;
  std::size_t sent = 0;  // of the first of them
};

std::size_t GiveBody(char* room, std::size_t one, std::size_t size, void* outgoing) {
  auto& from = *static_cast<Outgoing*>(outgoing);
  std::size_t given = 0;
  while (given < one * size && !from.parts.empty()) {
    const ByteSpan left = from.parts.front().subspan(from.sent);
    const std::size_t now = std::min(left.size(), one * size - given);
    std::copy_n(left.begin(), now, room + given);
    given += now;
    from.sent += now;
    if (now < left.size()) continue;
    from.parts = from.parts.subspan(1);
    from.sent = 0;
  }
  return given;
}

bool IsTokenCharacter(char c) {
  const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return letter || (c >= '0' && c <= '9') || std::string_view("!#$%&'*+-.^_`|~").contains(c);
}

Result<ListPtr> HeaderList(const std::vector<WebHeader>& headers) {
  ListPtr list;
  const auto append = [&list](const std::string& line) {
    curl_slist* longer = curl_slist_append(list.get(), line.c_str());
    if (longer == nullptr) return false;
    if (!list) list.reset(longer);  // otherwise it begins where it began
    return true;
  };
  for (const WebHeader& header : headers) {
    if (!CanBeSent(header)) {
      return Fail(ErrorCode::kInvalidArgument,
                  "the header " + Excerpt(header.name) + " has a name or a value that cannot be sent");
    }
    if (!append(header.name + ": " + header.value)) return NoMemory();
  }
  // Nobody waits a second for leave to send a body; and what would be its type is what the caller says, or nothing.
  const bool typed = std::ranges::any_of(
      headers, [](const WebHeader& header) { return curl_strequal(header.name.c_str(), "content-type") != 0; });
  if (!append("Expect:") || (!typed && !append("Content-Type:"))) return NoMemory();
  return list;
}

/// Sets options of one handle; what fails is told once, at the end.
class Setter {
 public:
  explicit Setter(CURL* easy) : easy_(easy) {}
  template <typename T>
  Setter& operator()(CURLoption option, T value) {
    if (result_ == CURLE_OK) result_ = curl_easy_setopt(easy_, option, value);
    return *this;
  }
  [[nodiscard]] bool good() const { return result_ == CURLE_OK; }

 private:
  CURL* easy_;
  CURLcode result_ = CURLE_OK;
};

// What decides whom we speak to, and how: nothing of it comes from the environment.
void SetTransport(Setter& set, const WebOptions& options, const Bytes& ca_pem) {
  set(CURLOPT_PROTOCOLS_STR, "http,https")(CURLOPT_REDIR_PROTOCOLS_STR, "https")(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L)(CURLOPT_PROXY, "")(CURLOPT_NETRC, long{CURL_NETRC_IGNORED});
  set(CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2})(CURLOPT_SSL_VERIFYPEER, 1L)(CURLOPT_SSL_VERIFYHOST, 2L);
  set(CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1})(CURLOPT_HTTP09_ALLOWED, 0L);
  // Without the second an abort would wait for a name server that does not answer.
  set(CURLOPT_NOSIGNAL, 1L)(CURLOPT_QUICK_EXIT, 1L);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.limits.connect.count()));
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(options.limits.whole.count()));
  if (ca_pem.empty()) return;
  // libcurl only reads it.
  curl_blob pem{.data = const_cast<std::uint8_t*>(ca_pem.data()), .len = ca_pem.size(), .flags = CURL_BLOB_NOCOPY};
  const char* const none = nullptr;
  set(CURLOPT_CAINFO_BLOB, &pem)(CURLOPT_CAPATH, none);
}

void SetRequest(Setter& set, const WebRequest& request, const curl_slist* headers, Outgoing& outgoing) {
  set(CURLOPT_URL, request.url.c_str())(CURLOPT_HTTPHEADER, headers);
  if (request.method == WebMethod::kGet) {
    set(CURLOPT_HTTPGET, 1L);
    return;
  }
  std::size_t size = 0;
  for (const ByteSpan part : request.body) size += part.size();
  set(CURLOPT_POST, 1L)(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(size));
  set(CURLOPT_READFUNCTION, &GiveBody)(CURLOPT_READDATA, static_cast<void*>(&outgoing));
  if (request.method == WebMethod::kPut) set(CURLOPT_CUSTOMREQUEST, "PUT");
}

void SetAnswer(Setter& set, const WebLimits& limits, Incoming& incoming, char* error_text) {
  set(CURLOPT_WRITEFUNCTION, &TakeBody)(CURLOPT_WRITEDATA, static_cast<void*>(&incoming));
  set(CURLOPT_HEADERFUNCTION, &TakeHeadLine)(CURLOPT_HEADERDATA, static_cast<void*>(&incoming));
  set(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(limits.max_body_bytes))(CURLOPT_ERRORBUFFER, error_text);
}

/// Runs a handle to its end, or to `stop`: then nothing.
std::optional<CURLcode> Run(CURLM* multi, CURL* easy, const std::stop_token& stop) {
  if (curl_multi_add_handle(multi, easy) != CURLM_OK) return CURLE_OUT_OF_MEMORY;
  const std::stop_callback wake(stop, [multi] { curl_multi_wakeup(multi); });
  std::optional<CURLcode> end;
  int running = 1;
  while (!end && !stop.stop_requested()) {
    if (curl_multi_perform(multi, &running) != CURLM_OK) end = CURLE_OUT_OF_MEMORY;
    int left = 0;
    const CURLMsg* message = curl_multi_info_read(multi, &left);
    if (message != nullptr && message->msg == CURLMSG_DONE) end = message->data.result;
    if (!end) curl_multi_poll(multi, nullptr, 0, kLongestWaitMillis, nullptr);
  }
  curl_multi_remove_handle(multi, easy);
  return end;
}

struct FailureTraits {
  CURLcode failure;
  ErrorCode code;
  std::string_view advice;
};

constexpr std::array<FailureTraits, 12> kFailures{{
    {CURLE_COULDNT_RESOLVE_HOST, ErrorCode::kUnavailable, "check the host's name, and the name server"},
    {CURLE_COULDNT_CONNECT, ErrorCode::kUnavailable, "check that it runs, its port, and firewalls on the way"},
    {CURLE_OPERATION_TIMEDOUT, ErrorCode::kDeadlineExceeded, "check that it runs and answers"},
    {CURLE_PEER_FAILED_VERIFICATION, ErrorCode::kUnauthenticated,
     "name the CA that signed its certificate as the CA file, and the server by a name in it"},
    {CURLE_SSL_ISSUER_ERROR, ErrorCode::kUnauthenticated, "name the CA that signed its certificate as the CA file"},
    {CURLE_SSL_CACERT_BADFILE, ErrorCode::kInvalidArgument, "check the CA file"},
    {CURLE_SSL_CONNECT_ERROR, ErrorCode::kUnavailable, "check that it speaks TLS 1.2 or later at this port"},
    {CURLE_WEIRD_SERVER_REPLY, ErrorCode::kMalformed, "check that it speaks HTTP at this port"},
    {CURLE_UNSUPPORTED_PROTOCOL, ErrorCode::kMalformed, "check that it speaks HTTP at this port"},
    {CURLE_BAD_CONTENT_ENCODING, ErrorCode::kMalformed, "check that it speaks HTTP at this port"},
    {CURLE_GOT_NOTHING, ErrorCode::kUnavailable, "check its log, and whether it wants https"},
    {CURLE_URL_MALFORMAT, ErrorCode::kInvalidArgument, "check the URL"},
}};

// libcurl's own words, without what could write to a terminal: some of it quotes the server.
std::string Cleaned(std::string text) {
  std::ranges::replace_if(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return text;
}

std::unexpected<Error> Describe(CURLcode failure, std::string detail, const std::string& origin) {
  if (detail.empty()) detail = curl_easy_strerror(failure);
  const auto* known = std::ranges::find(kFailures, failure, &FailureTraits::failure);
  const bool is_known = known != kFailures.end();
  return Fail(is_known ? known->code : ErrorCode::kUnavailable,
              origin + ": " + Cleaned(std::move(detail)) +
                  (is_known ? "; " + std::string(known->advice) : std::string("; try again later")));
}

WebResponse AnswerOf(CURL* easy, std::string body) {
  WebResponse answer;
  answer.body = std::move(body);
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  answer.status = static_cast<int>(status);
  curl_header* header = nullptr;
  // Of the last head alone, behind interim ones.
  while ((header = curl_easy_nextheader(easy, CURLH_HEADER, -1, header)) != nullptr)
    answer.headers.push_back({LowerCase(header->name), header->value});
  curl_off_t seconds = 0;
  curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds);
  if (answer.Header("retry-after")) answer.retry_after = std::chrono::seconds(seconds);
  return answer;
}

bool IsRedirection(int status) {
  constexpr std::array kRedirections = {301, 302, 303, 307, 308};
  return std::ranges::find(kRedirections, status) != kRedirections.end();
}

}  // namespace

bool CanBeSent(const WebHeader& header) {
  const auto in_value = [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; };
  return !header.name.empty() && std::ranges::all_of(header.name, IsTokenCharacter) && !header.value.empty() &&
         std::ranges::all_of(header.value, in_value);
}

std::optional<std::string_view> WebResponse::Header(std::string_view lower_case_name) const {
  const auto found = std::ranges::find(headers, lower_case_name, &WebHeader::name);
  if (found == headers.end()) return std::nullopt;
  return found->value;
}

Result<WebClient> WebClient::Create(const WebOptions& options) {
  const bool bounded = options.limits.connect > Millis(0) && options.limits.whole > Millis(0);
  if (!bounded) return Fail(ErrorCode::kInvalidArgument, "a request needs limits above 0");
  if (!LibraryStarted()) return NoMemory();
  Bytes ca_pem;
  if (!options.ca_file.empty()) {
    TACIT_TRY(ca_pem, ReadFile(options.ca_file, kMaxCaBytes));
    if (!AsText(ca_pem).contains("-----BEGIN CERTIFICATE-----")) {
      return Fail(ErrorCode::kInvalidArgument, options.ca_file.string() + ": no certificate in PEM is in it");
    }
  }
  return WebClient(options, std::move(ca_pem));
}

Result<WebResponse> WebClient::Ask(const WebRequest& request, const std::stop_token& stop) const {
  TACIT_TRY(const std::string origin, OriginOf(request.url, options_.plain_http));
  TACIT_CHECK(request.method != WebMethod::kGet || request.body.empty(), "a GET has no body");
  auto headers = HeaderList(request.headers);
  if (!headers) return Annotate(headers.error(), origin);
  Incoming incoming{.max_body_bytes = options_.limits.max_body_bytes, .body = {}, .head_bytes = 0, .too_large = false};
  Outgoing outgoing{.parts = request.body, .sent = 0};
  std::array<char, CURL_ERROR_SIZE> detail{};
  // After all that libcurl writes to, for as long as they live.
  const MultiPtr multi(curl_multi_init());
  const EasyPtr easy(curl_easy_init());
  if (!multi || !easy) return NoMemory();
  Setter set(easy.get());
  SetTransport(set, options_, ca_pem_);
  SetRequest(set, request, headers->get(), outgoing);
  SetAnswer(set, options_.limits, incoming, detail.data());
  set(CURLOPT_USERAGENT, options_.user_agent.c_str());
  if (!set.good()) return Fail(ErrorCode::kUnavailable, origin + ": libcurl does not take what a request needs");
  const auto end = Run(multi.get(), easy.get(), stop);
  if (!end) return Fail(ErrorCode::kUnavailable, origin + ": stopped before it answered");
  if (incoming.too_large || *end == CURLE_FILESIZE_EXCEEDED) {
    return Fail(ErrorCode::kTooLarge, origin + ": the answer is larger than the " +
                                          std::to_string(options_.limits.max_body_bytes) +
                                          " bytes that are accepted; check that it is the right server");
  }
  if (*end != CURLE_OK) return Describe(*end, detail.data(), origin);
  WebResponse answer = AnswerOf(easy.get(), std::move(incoming.body));
  if (IsRedirection(answer.status)) {
    return Fail(ErrorCode::kInvalidArgument, origin + ": it answers with a redirection (" +
                                                 std::to_string(answer.status) +
                                                 "), which is not followed; write the URL that it leads to");
  }
  return answer;
}

}  // namespace tacit::web
