#include "common/net/http.h"

#include <algorithm>
#include <cstring>
#include <string>

#include <boost/beast/http/status.hpp>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/text.h"

namespace tacit::net {
namespace {

struct ProblemFields {
  std::string_view type;
  std::string_view title;
  int status = 0;
  std::string_view code;
  std::string_view detail;
  std::string_view instance;
  std::string_view field;
};

// As the example of RFC 9457, section 3, has it; `parameter` is ours, for what is not in the body.
std::string FieldFault(std::string_view field, std::string_view detail) {
  const bool in_query = field.starts_with('?');
  const std::string_view name = in_query ? field.substr(1) : field;
  return std::string(in_query ? "{\"parameter\":" : "{\"pointer\":") + JsonQuote(name) +
         ",\"detail\":" + JsonQuote(detail) + "}";
}

HttpResponse ProblemResponse(const ProblemFields& fields) {
  HttpResponse response;
  response.status = fields.status;
  response.content_type = "application/problem+json";
  response.body = "{\"type\":" + JsonQuote(fields.type) + ",\"title\":" + JsonQuote(fields.title) +
                  ",\"status\":" + std::to_string(fields.status);
  if (!fields.code.empty()) response.body += ",\"code\":" + JsonQuote(fields.code);
  response.body += ",\"detail\":" + JsonQuote(fields.detail) + ",\"instance\":" + JsonQuote(fields.instance);
  if (!fields.field.empty()) response.body += ",\"errors\":[" + FieldFault(fields.field, fields.detail) + "]";
  response.body += "}\n";
  return response;
}

struct Range {
  std::size_t first = 0;
  std::size_t last = 0;  // Included.
};

enum class RangeKind : std::uint8_t { kWhole, kPart, kUnsatisfiable };

struct RangeAnswer {
  RangeKind kind = RangeKind::kWhole;
  Range range;
};

RangeAnswer SuffixRange(std::string_view digits, std::size_t size) {
  const auto count = ParseWhole(digits);
  if (!count) return {};
  if (*count == 0 || size == 0) return {RangeKind::kUnsatisfiable, {}};
  const std::size_t length = *count < size ? static_cast<std::size_t>(*count) : size;
  return {RangeKind::kPart, {size - length, size - 1}};
}

// Source: RFC 9110, section 14.1.2. What does not parse is ignored, as section 14.2 asks.
RangeAnswer ResolveRange(std::string_view text, std::size_t size) {
  if (!text.starts_with("bytes=") || text.find(',') != std::string_view::npos) return {};
  text.remove_prefix(6);
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return {};
  if (dash == 0) return SuffixRange(text.substr(1), size);
  const auto first = ParseWhole(text.substr(0, dash));
  const std::string_view last_text = text.substr(dash + 1);
  const auto last = last_text.empty() ? std::optional<std::uint64_t>(size - 1) : ParseWhole(last_text);
  if (!first || !last || (!last_text.empty() && *last < *first)) return {};
  if (*first >= size) return {RangeKind::kUnsatisfiable, {}};
  return {RangeKind::kPart,
          {static_cast<std::size_t>(*first), static_cast<std::size_t>(std::min<std::uint64_t>(*last, size - 1))}};
}

enum class Comparison : std::uint8_t { kWeak, kStrong };

// Source: RFC 9110, section 8.8.3.2.
bool ListsTag(std::string_view list, std::string_view quoted_tag, Comparison comparison) {
  if (list == "*") return true;
  for (std::size_t at = list.find(quoted_tag); at != std::string_view::npos; at = list.find(quoted_tag, at + 1)) {
    const std::string_view before = list.substr(0, at);
    const std::string_view after = list.substr(at + quoted_tag.size());
    const bool weak = before.ends_with("W/") && comparison == Comparison::kWeak;
    const bool starts = before.empty() || before.ends_with(' ') || before.ends_with(',') || weak;
    if (starts && (after.empty() || after.starts_with(' ') || after.starts_with(','))) return true;
  }
  return false;
}

bool HasAlready(const HttpRequest& request, std::string_view quoted_tag) {
  const auto if_none_match = request.Header("if-none-match");
  return if_none_match && ListsTag(*if_none_match, quoted_tag, Comparison::kWeak);
}

RangeAnswer WantedRange(const HttpRequest& request, std::size_t size, std::string_view quoted_tag) {
  const auto range = request.Header("range");
  if (!range || request.method() != "GET") return {};
  const auto if_range = request.Header("if-range");
  if (if_range && *if_range != quoted_tag) return {};
  return ResolveRange(*range, size);
}

}  // namespace

Task<Result<void>> BytesBody::Read(std::span<std::uint8_t> out) {
  if (out.size() > bytes_.size() - position_) co_return Fail(ErrorCode::kUnavailable, "the body ends early");
  if (!out.empty()) std::memcpy(out.data(), bytes_.data() + position_, out.size());
  position_ += out.size();
  co_return Result<void>();
}

HttpRequest::HttpRequest(RequestHead head, PeerIdentity peer, BodySource& body)
    : head_(std::move(head)), peer_(std::move(peer)), body_(body), body_left_(head_.content_length.value_or(0)) {}

std::optional<std::string_view> HttpRequest::Query(std::string_view name) const {
  for (const auto& [key, value] : head_.query) {
    if (key == name) return value;
  }
  return std::nullopt;
}

std::optional<std::string_view> HttpRequest::Header(std::string_view name) const {
  for (const auto& [key, value] : head_.headers) {
    if (EqualInAnyCase(key, name)) return value;
  }
  return std::nullopt;
}

Task<Result<void>> HttpRequest::Read(std::span<std::uint8_t> out) {
  if (out.size() > body_left_) {
    co_return Fail(ErrorCode::kMalformed, "the body has " + std::to_string(body_left_) + " bytes left where " +
                                              std::to_string(out.size()) + " are needed");
  }
  if (out.empty()) co_return Result<void>();
  TACIT_CO_TRY_VOID(co_await body_.Read(out));
  body_left_ -= out.size();
  co_return Result<void>();
}

Task<Result<Bytes>> HttpRequest::ReadBody(std::size_t limit) {
  if (body_left_ > limit) {
    co_return Fail(ErrorCode::kTooLarge, "the body has " + std::to_string(body_left_) + " bytes; at most " +
                                             std::to_string(limit) + " are accepted here");
  }
  Bytes bytes(static_cast<std::size_t>(body_left_));
  TACIT_CO_TRY_VOID(co_await Read(bytes));
  co_return bytes;
}

HttpResponse Problem(const Error& error, std::string_view instance) {
  const ErrorCodeTraits& traits = TraitsOf(error.code);
  const std::string type = "https://tacit.dev/problems/" + std::string(traits.name);
  return ProblemResponse({type, traits.title, traits.http_status, traits.name, error.message, instance, error.field});
}

HttpResponse StatusProblem(int status, std::string_view detail, std::string_view instance) {
  return ProblemResponse({"about:blank", ReasonPhrase(status), status, {}, detail, instance, {}});
}

std::string_view ReasonPhrase(int status) {
  namespace http = boost::beast::http;
  return http::obsolete_reason(http::int_to_status(static_cast<unsigned>(status)));
}

std::string TagOf(std::string_view body) {
  return '"' + ToHex(Xxh3(AsBytes(body))) + '"';
}

bool MeetsIfMatch(const HttpRequest& request, std::string_view quoted_tag) {
  const auto if_match = request.Header("if-match");
  return !if_match || ListsTag(*if_match, quoted_tag, Comparison::kStrong);
}

void TagBody(const HttpRequest& request, HttpResponse& response) {
  const std::string quoted_tag = TagOf(response.body);
  response.headers.emplace_back("ETag", quoted_tag);
  if (!HasAlready(request, quoted_tag)) return;
  response.status = 304;
  response.content_type.clear();
  response.body.clear();
}

HttpResponse ServeBytes(const HttpRequest& request, SharedBytes bytes, std::string_view content_type,
                        std::string_view etag) {
  TACIT_CHECK(static_cast<bool>(bytes), "there is something to serve");
  const std::string quoted_tag = '"' + std::string(etag) + '"';
  HttpResponse response;
  response.headers = {{"ETag", quoted_tag}, {"Accept-Ranges", "bytes"}};
  if (HasAlready(request, quoted_tag)) {
    response.status = 304;
    return response;
  }
  const std::size_t size = bytes.bytes.size();
  const RangeAnswer answer = WantedRange(request, size, quoted_tag);
  if (answer.kind == RangeKind::kUnsatisfiable) {
    response = StatusProblem(416, "the range begins behind the last byte", request.path());
    response.headers = {{"Content-Range", "bytes */" + std::to_string(size)}};
    return response;
  }
  response.content_type = content_type;
  response.shared_body = std::move(bytes);
  response.length = size;
  if (answer.kind == RangeKind::kPart) {
    response.status = 206;
    response.offset = answer.range.first;
    response.length = answer.range.last - answer.range.first + 1;
    response.headers.emplace_back("Content-Range", "bytes " + std::to_string(answer.range.first) + "-" +
                                                       std::to_string(answer.range.last) + "/" + std::to_string(size));
  }
  return response;
}

}  // namespace tacit::net
