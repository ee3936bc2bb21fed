#include "server/api/dashboard_api.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "common/base/text.h"
#include "server/dashboard/files.h"

namespace tacit::api {
namespace {

using net::HttpRequest;
using net::HttpResponse;
using net::Task;

// A script or a style that got into a page by some name in an answer would not run: none but these files do. Nothing is
// asked of another host, nothing is sent by a form, and no other page shows this one.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

// A name of an asset stands for its bytes for ever; the entry names the assets of this version.
constexpr std::string_view kEntry = "/";
constexpr std::string_view kAskAgain = "no-cache";
constexpr std::string_view kForEver = "public, max-age=31536000, immutable";

std::string_view Trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// What stands in front of the next `separator`, taken off the front of `rest` with it.
std::string_view TakeUpTo(std::string_view& rest, char separator) {
  const std::string_view part = rest.substr(0, rest.find(separator));
  rest.remove_prefix(std::min(rest.size(), part.size() + 1));
  return Trimmed(part);
}

// "q=0", "q=0.000"; a coding without a weight is wanted.
bool HasNoWeight(std::string_view parameter) {
  return (parameter.starts_with("q=") || parameter.starts_with("Q=")) && parameter.size() > 2 &&
         parameter.substr(2).find_first_not_of("0.") == std::string_view::npos;
}

// A file, packed and not: whoever takes no gzip has it all the same.
struct Page {
  std::string_view path;
  std::string_view media_type;
  std::string_view gzip;
  std::string plain;
};

HttpResponse Answer(const HttpRequest& request, const Page& page) {
  const bool packed = TakesGzip(request.Header("accept-encoding").value_or(""));
  HttpResponse response;
  response.content_type = page.media_type;
  response.body = packed ? std::string(page.gzip) : page.plain;
  net::TagBody(request, response);
  if (packed && response.status == 200) response.headers.emplace_back("Content-Encoding", "gzip");
  response.headers.emplace_back("Vary", "Accept-Encoding");
  response.headers.emplace_back("Cache-Control", page.path == kEntry ? kAskAgain : kForEver);
  response.headers.emplace_back("Content-Security-Policy", kPolicy);
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  response.headers.emplace_back("Referrer-Policy", "no-referrer");
  return response;
}

Task<Result<HttpResponse>> Serve(const HttpRequest& request, std::shared_ptr<const Page> page) {
  co_return Answer(request, *page);
}

}  // namespace

bool TakesGzip(std::string_view accept_encoding) {
  bool any = false;
  while (!accept_encoding.empty()) {
    std::string_view element = TakeUpTo(accept_encoding, ',');
    const std::string_view coding = TakeUpTo(element, ';');
    bool wanted = true;
    while (!element.empty()) wanted = !HasNoWeight(TakeUpTo(element, ';')) && wanted;
    if (EqualInAnyCase(coding, "gzip") || EqualInAnyCase(coding, "x-gzip")) return wanted;
    if (coding == "*") any = wanted;
  }
  return any;
}

std::vector<Route> DashboardRoutes() {
  std::vector<Route> routes;
  for (const dashboard::File& file : dashboard::Files()) {
    auto page = std::make_shared<const Page>(Page{
        .path = file.path, .media_type = file.media_type, .gzip = file.gzip, .plain = dashboard::Unpack(file.gzip)});
    routes.push_back(
        {"GET", file.path, [page](HttpRequest& request, const PathArguments&) { return Serve(request, page); }});
  }
  return routes;
}

}  // namespace tacit::api
