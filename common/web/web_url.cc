#include "common/web/web_url.h"

#include <curl/curl.h>

#include <memory>

#include "common/base/host.h"

namespace tacit::web {
namespace {

constexpr std::size_t kMaxUrlBytes = 8 * 1024;

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
struct FreeText {
  void operator()(char* text) const { curl_free(text); }
};

/// Empty when the URL has no such part.
std::string PartOf(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK) return {};
  const std::unique_ptr<char, FreeText> owner(text);
  return text;
}

// A name that resolves to this machine by its standard (RFC 6761, section 6.3), or an address of it.
bool IsThisMachine(std::string_view host) {
  const bool loopback = host.starts_with("127.") && KindOfHost(host) == HostKind::kIpv4;
  return loopback || host == "localhost" || host == "[::1]";
}

std::unexpected<Error> BadUrl(std::string why) {
  return Fail(ErrorCode::kInvalidArgument, std::move(why));
}

bool IsUnreserved(char c) {
  const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return letter || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

}  // namespace

Result<std::string> OriginOf(std::string_view url, PlainHttp plain) {
  const std::unique_ptr<CURLU, FreeUrl> parsed(curl_url());
  if (!parsed) return Fail(ErrorCode::kUnavailable, "there is no memory to read a URL");
  const std::string terminated(url);
  const bool whole = url.size() <= kMaxUrlBytes && url.find('\0') == std::string_view::npos;
  if (!whole || curl_url_set(parsed.get(), CURLUPART_URL, terminated.c_str(), 0) != CURLUE_OK)
    return BadUrl("not a URL such as \"https://host.example:4318\"");
  const std::string scheme = PartOf(parsed.get(), CURLUPART_SCHEME);
  const std::string host = PartOf(parsed.get(), CURLUPART_HOST);
  const std::string port = PartOf(parsed.get(), CURLUPART_PORT);
  if (scheme != "https" && scheme != "http") return BadUrl("a URL of another kind than https");
  if (host.empty()) return BadUrl("a URL without a host");
  const bool names_user = !PartOf(parsed.get(), CURLUPART_USER).empty() ||
                          !PartOf(parsed.get(), CURLUPART_PASSWORD).empty() ||
                          !PartOf(parsed.get(), CURLUPART_OPTIONS).empty();
  if (names_user) return BadUrl("a URL with a user or a password in it, which would be shown: put it into a file");
  if (!PartOf(parsed.get(), CURLUPART_FRAGMENT).empty()) return BadUrl("a URL with a fragment, which is never sent");
  const bool may =
      scheme == "https" || plain == PlainHttp::kAllowed || (plain == PlainHttp::kToThisMachine && IsThisMachine(host));
  if (!may) return BadUrl("a URL in plain http, which whoever is on the way can read and answer: use https");
  return scheme + "://" + host + (port.empty() ? "" : ":" + port);
}

std::string PercentEncode(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (IsUnreserved(c)) {
      encoded += c;
    } else {
      encoded += '%';
      encoded += kDigits[byte >> 4U];
      encoded += kDigits[byte & 15U];
    }
  }
  return encoded;
}

}  // namespace tacit::web
