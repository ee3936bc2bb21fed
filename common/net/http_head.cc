#include "common/net/http_head.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "common/base/text.h"

namespace tacit::net {
namespace {

namespace http = boost::beast::http;

using Fields = std::vector<std::pair<std::string, std::string>>;

constexpr std::size_t kMaxHeaders = 100;
constexpr std::size_t kMaxQueryParameters = 64;
constexpr std::size_t kMaxMethodLength = 32;
// Nineteen digits could overflow the signed 64-bit numbers that sizes become elsewhere.
constexpr std::size_t kMaxLengthDigits = 18;

std::unexpected<HeadFault> Refuse(int status, std::string message) {
  return std::unexpected(HeadFault{status, std::move(message)});
}

// Returns the fault of a `std::expected<void, HeadFault>`, or goes on.
#define TACIT_HEAD_TRY(expression)                                                      \
  do {                                                                                  \
    if (auto checked = (expression); !checked) return std::unexpected(checked.error()); \
  } while (false)

using Checked = std::expected<void, HeadFault>;

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}
bool IsAlpha(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Source: RFC 3986, section 3.3: pchar without the percent escapes, and the separators of a path.
bool IsPathChar(char c) {
  return IsDigit(c) || IsAlpha(c) || std::string_view("-._~!$&'()*+,;=:@/").find(c) != std::string_view::npos;
}

int HexValue(char c) {
  if (IsDigit(c)) return c - '0';
  const char lower = LowerCase(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// The byte that the escape at the front of `text` stands for, or -1.
int EscapedByte(std::string_view text) {
  if (text.size() < 3 || text[0] != '%') return -1;
  const int high = HexValue(text[1]);
  const int low = HexValue(text[2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

// Takes what stands before `separator` off the front of `text`; all of it when there is none.
std::string_view TakeUntil(std::string_view& text, std::string_view separator) {
  const std::size_t at = text.find(separator);
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + separator.size());
  return taken;
}

Checked CheckPath(std::string_view path) {
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (IsPathChar(path[i])) continue;
    if (EscapedByte(path.substr(i)) < 0)
      return Refuse(400, "the request target has a character that a path may not have");
    i += 2;
  }
  while (!path.empty()) {
    const std::string_view segment = TakeUntil(path, "/");
    if (segment == "." || segment == "..") return Refuse(400, "the request target has a '.' or '..' segment");
  }
  return {};
}

std::expected<std::string, HeadFault> DecodeQueryText(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const int escaped = c == '%' ? EscapedByte(text.substr(i)) : 0;
    if (escaped < 0 || !(c == '%' || c == '?' || IsPathChar(c))) {
      return Refuse(400, "the query has a character that must be percent-encoded");
    }
    if (c == '%') i += 2;
    decoded += c == '%' ? static_cast<char>(escaped) : c == '+' ? ' ' : c;
    if (static_cast<unsigned char>(decoded.back()) < 0x20) return Refuse(400, "the query holds a control character");
  }
  return decoded;
}

Checked ParseQuery(std::string_view text, RequestHead& head) {
  while (!text.empty()) {
    std::string_view value = TakeUntil(text, "&");
    if (value.empty()) continue;
    auto name = DecodeQueryText(TakeUntil(value, "="));
    if (!name) return std::unexpected(name.error());
    auto decoded = DecodeQueryText(value);
    if (!decoded) return std::unexpected(decoded.error());
    if (std::ranges::any_of(head.query, [&](const auto& known) { return known.first == *name; })) {
      return Refuse(400, "a query parameter is given twice");
    }
    if (head.query.size() == kMaxQueryParameters) return Refuse(400, "too many query parameters");
    head.query.emplace_back(*std::move(name), *std::move(decoded));
  }
  return {};
}

Checked ParseTarget(std::string_view target, RequestHead& head) {
  if (target == "*") {
    head.path = target;
    return head.method == "OPTIONS" ? Checked{} : Refuse(400, "the target '*' is for OPTIONS only");
  }
  if (!target.starts_with('/')) return Refuse(400, "the request target must be a path that begins with '/'");
  const std::string_view path = TakeUntil(target, "?");
  TACIT_HEAD_TRY(CheckPath(path));
  head.path = path;
  return ParseQuery(target, head);
}

// Headers whose second copy one reader could believe and another not.
Checked CheckSingletons(const Fields& fields) {
  constexpr std::array<std::string_view, 8> kSingletons = {"host",  "content-length", "content-type", "authorization",
                                                           "range", "expect",         "if-range",     "upload-offset"};
  for (const std::string_view name : kSingletons) {
    const auto same = [&](const auto& field) { return field.first == name; };
    if (std::ranges::count_if(fields, same) > 1) {
      return Refuse(400, "the header '" + std::string(name) + "' is given twice");
    }
  }
  return {};
}

std::expected<std::optional<std::uint64_t>, HeadFault> ParseLength(std::optional<std::string_view> text) {
  if (!text) return std::nullopt;
  if (text->empty() || text->size() > kMaxLengthDigits || !std::ranges::all_of(*text, IsDigit)) {
    return Refuse(400, "Content-Length must be a whole number of at most 18 digits");
  }
  std::uint64_t length = 0;
  std::from_chars(text->data(), text->data() + text->size(), length);
  return length;
}

Checked SetFraming(RequestHead& head) {
  if (head.Header("transfer-encoding")) {
    return Refuse(501, "Transfer-Encoding is not accepted in requests; send a Content-Length");
  }
  auto length = ParseLength(head.Header("content-length"));
  if (!length) return std::unexpected(length.error());
  head.content_length = *length;
  const bool needs_length = head.method == "PUT" || head.method == "POST" || head.method == "PATCH";
  if (needs_length && !head.content_length) return Refuse(411, head.method + " needs a Content-Length, 0 for no body");
  return {};
}

Checked CheckHost(bool is_http_1_0, const RequestHead& head) {
  const auto host = head.Header("host");
  if (!host && !is_http_1_0) return Refuse(400, "the Host header is missing");
  if (host && host->find_first_of(" \t,/@?#") != std::string_view::npos)
    return Refuse(400, "the Host header is not a host");
  return {};
}

Checked SetExpectation(bool is_http_1_0, RequestHead& head) {
  const auto expect = head.Header("expect");
  if (!expect) return {};
  if (LowerCase(*expect) != "100-continue") return Refuse(417, "the only expectation that can be met is 100-continue");
  head.expects_continue = !is_http_1_0 && head.content_length.value_or(0) > 0;
  return {};
}

HeadFault DescribeSyntax(const boost::system::error_code& error) {
  switch (static_cast<http::error>(error.value())) {
    case http::error::bad_method:
      return {400, "the request does not begin with a method"};
    case http::error::bad_target:
      return {400, "the request line is not 'METHOD target HTTP/1.1'"};
    case http::error::bad_version:
      return {505, "the first line must name HTTP/1.1 or HTTP/1.0, which alone are spoken here"};
    case http::error::bad_field:
      return {400, "a header line is not 'Name: value'"};
    case http::error::bad_value:
      return {400, "a header value holds a control character"};
    case http::error::bad_content_length:
    case http::error::multiple_content_length:
      return {400, "there must be one Content-Length, a whole number, and no Transfer-Encoding beside it"};
    case http::error::bad_transfer_encoding:
      return {400, "there must be no Transfer-Encoding beside a Content-Length"};
    default:
      return {400, "this is not HTTP: " + error.message()};
  }
}

// Beast reads the syntax. It takes folded lines, which we do not.
template <bool kIsRequest>
std::expected<http::message<kIsRequest, http::empty_body>, HeadFault> ReadSyntax(std::string_view bytes) {
  const auto end = FindHeadEnd(bytes);
  if (!end) return std::unexpected(end.error());
  if (*end == 0 || *end != bytes.size()) return Refuse(400, "the head is not ended by one blank line");
  if (bytes.contains("\r\n ") || bytes.contains("\r\n\t")) return Refuse(400, "a header is folded over two lines");
  http::parser<kIsRequest, http::empty_body> parser;
  // How long a head may be was decided by whoever collected it, and how long a body may be is decided elsewhere.
  parser.header_limit(static_cast<std::uint32_t>(std::min<std::size_t>(bytes.size() + 1, UINT32_MAX)));
  parser.body_limit(boost::none);
  boost::system::error_code error;
  const std::size_t taken = parser.put(boost::asio::buffer(bytes), error);
  if (error) return std::unexpected(DescribeSyntax(error));
  if (!parser.is_header_done() || taken != bytes.size()) return Refuse(400, "the head is not ended by one blank line");
  return parser.release();
}

Checked CopyFields(const http::fields& from, Fields& fields) {
  for (const auto& field : from) {
    if (fields.size() == kMaxHeaders) return Refuse(431, "more than " + std::to_string(kMaxHeaders) + " headers");
    fields.emplace_back(LowerCase(field.name_string()), std::string(field.value()));
  }
  return {};
}

std::optional<std::string_view> FindField(const Fields& fields, std::string_view lower_case_name) {
  for (const auto& [name, value] : fields) {
    if (name == lower_case_name) return value;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string_view> RequestHead::Header(std::string_view lower_case_name) const {
  return FindField(headers, lower_case_name);
}

std::optional<std::string_view> ResponseHead::Header(std::string_view lower_case_name) const {
  return FindField(headers, lower_case_name);
}

std::expected<std::size_t, HeadFault> FindHeadEnd(std::string_view bytes, std::size_t searched) {
  for (std::size_t at = bytes.find('\n', searched); at != std::string_view::npos; at = bytes.find('\n', at + 1)) {
    if (at == 0 || bytes[at - 1] != '\r') return Refuse(400, "a header line does not end in CR LF");
    if (at >= 3 && bytes[at - 2] == '\n') return at + 1;
  }
  return 0;
}

std::expected<RequestHead, HeadFault> ParseRequestHead(std::string_view bytes) {
  const auto message = ReadSyntax<true>(bytes);
  if (!message) return std::unexpected(message.error());
  const bool is_http_1_0 = message->version() == 10;
  RequestHead head;
  head.method = message->method_string();
  if (head.method.size() > kMaxMethodLength) return Refuse(400, "the request does not begin with a method");
  // In HTTP/1.0 `Connection: keep-alive` would ask for more; no client of ours does.
  head.keep_alive = !is_http_1_0 && message->keep_alive();
  TACIT_HEAD_TRY(ParseTarget(message->target(), head));
  TACIT_HEAD_TRY(CopyFields(*message, head.headers));
  TACIT_HEAD_TRY(CheckSingletons(head.headers));
  TACIT_HEAD_TRY(SetFraming(head));
  TACIT_HEAD_TRY(CheckHost(is_http_1_0, head));
  TACIT_HEAD_TRY(SetExpectation(is_http_1_0, head));
  return head;
}

std::expected<ResponseHead, HeadFault> ParseResponseHead(std::string_view bytes) {
  const auto message = ReadSyntax<false>(bytes);
  if (!message) return std::unexpected(message.error());
  ResponseHead head;
  head.status = static_cast<int>(message->result_int());
  if (head.status < 100 || head.status > 599) return Refuse(400, "the answer's status is not one of HTTP");
  head.keep_alive = message->version() == 11 && message->keep_alive();
  TACIT_HEAD_TRY(CopyFields(*message, head.headers));
  TACIT_HEAD_TRY(CheckSingletons(head.headers));
  auto length = ParseLength(head.Header("content-length"));
  if (!length) return std::unexpected(length.error());
  head.content_length = *length;
  return head;
}

}  // namespace tacit::net
