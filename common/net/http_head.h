#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tacit::net {

/// The head of one HTTP/1.x request, checked; nothing in it is trusted beyond its syntax.
struct RequestHead {
  std::string method;  ///< A token, upper case as sent.
  std::string path;    ///< As sent, without the query: begins with '/', or is "*". Percent escapes are not decoded.
  /// Decoded query parameters in order; no key comes twice.
  std::vector<std::pair<std::string, std::string>> query;
  /// Names in lower case, values without surrounding white space.
  std::vector<std::pair<std::string, std::string>> headers;
  std::optional<std::uint64_t> content_length;
  bool keep_alive = true;
  bool expects_continue = false;

  /// The first header of this name (lower case), or nothing.
  [[nodiscard]] std::optional<std::string_view> Header(std::string_view lower_case_name) const;
};

/// The head of one HTTP/1.x answer, checked in the same way.
struct ResponseHead {
  int status = 0;  ///< 100 to 599.
  /// Names in lower case, values without surrounding white space.
  std::vector<std::pair<std::string, std::string>> headers;
  std::optional<std::uint64_t> content_length;
  bool keep_alive = true;

  /// The first header of this name (lower case), or nothing.
  [[nodiscard]] std::optional<std::string_view> Header(std::string_view lower_case_name) const;
};

/// Why a head is refused, and with which HTTP status.
struct HeadFault {
  int status = 400;
  std::string message;
};

/// Where the head at the front of `bytes` ends: one past its blank line, or 0 while there is none yet.
/// Errors: 400 for a line that ends in a bare LF, so that a wrong client is told at once and not by a time limit.
/// `searched` says how much of `bytes` an earlier call has looked at; 0 the first time.
std::expected<std::size_t, HeadFault> FindHeadEnd(std::string_view bytes, std::size_t searched = 0);

/// Parses a whole head, its blank line included and nothing behind it. Beast reads the syntax. More is refused than RFC
/// 9112 asks for, because two readers that disagree about where a request ends are how requests are smuggled: no folded
/// lines, no bare CR or LF, no white space around names, one Host, at most one Content-Length of digits, and no
/// Transfer-Encoding at all (501).
/// Errors: 400, 411 (PUT, POST or PATCH without a length), 417, 431, 501, 505, each with what was wrong.
/// Threads: any; pure. Source: RFC 9110, RFC 9112, RFC 3986.
std::expected<RequestHead, HeadFault> ParseRequestHead(std::string_view bytes);

/// The same for an answer. Errors: as above; the status says nothing here. Whether a Transfer-Encoding is there is the
/// caller's to look at. Threads: any; pure.
std::expected<ResponseHead, HeadFault> ParseResponseHead(std::string_view bytes);

}  // namespace tacit::net
