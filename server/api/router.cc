#include "server/api/router.h"

#include <memory>
#include <set>
#include <utility>

namespace tacit::api {
namespace {

// The next '/'-separated part, taken off the front of `rest`.
std::string_view TakePart(std::string_view& rest) {
  rest.remove_prefix(1);
  const std::string_view part = rest.substr(0, rest.find('/'));
  rest.remove_prefix(part.size());
  return part;
}

bool MatchPart(std::string_view pattern, std::string_view part, PathArguments& arguments) {
  if (pattern.empty() || pattern.front() != '{') return pattern == part;
  const std::string_view suffix = pattern.substr(pattern.find('}') + 1);
  if (part.size() <= suffix.size() || !part.ends_with(suffix)) return false;
  const std::string_view value = part.substr(0, part.size() - suffix.size());
  if (suffix.empty() && value.find(':') != std::string_view::npos) return false;  // "x:revoke" is an action, not a name
  arguments.emplace_back(value);
  return true;
}

std::string AllowedMethods(const std::vector<Route>& routes, std::string_view path) {
  std::set<std::string_view> methods;
  PathArguments ignored;
  for (const Route& route : routes) {
    if (!MatchPath(route.pattern, path, ignored)) continue;
    methods.insert(route.method);
    if (route.method == "GET") methods.insert("HEAD");
  }
  if (methods.empty()) return {};
  std::string allowed = "OPTIONS";
  for (const std::string_view method : methods) allowed += ", " + std::string(method);
  return allowed;
}

net::HttpResponse WithoutRoute(const std::vector<Route>& routes, const net::HttpRequest& request) {
  const std::string allowed = AllowedMethods(routes, request.path());
  if (allowed.empty()) {
    return net::Problem({ErrorCode::kNotFound, "this listener has nothing at " + request.path()}, request.path());
  }
  net::HttpResponse response;
  if (request.method() == "OPTIONS") {
    response.status = 204;
  } else {
    response = net::StatusProblem(405, "this path takes " + allowed + ", not " + request.method(), request.path());
  }
  response.headers.emplace_back("Allow", allowed);
  return response;
}

net::Task<net::HttpResponse> Dispatch(std::shared_ptr<const std::vector<Route>> routes, net::HttpRequest& request) {
  const std::string_view method = request.method() == "HEAD" ? "GET" : std::string_view(request.method());
  for (const Route& route : *routes) {
    PathArguments arguments;
    if (route.method != method || !MatchPath(route.pattern, request.path(), arguments)) continue;
    request.SetRoute(route.pattern);
    Result<net::HttpResponse> response = co_await route.handle(request, arguments);
    if (response) co_return *std::move(response);
    net::HttpResponse problem = net::Problem(response.error(), request.path());
    if (problem.status == 503 || problem.status == 429) {
      const std::int64_t seconds = (request.retry_after().count() + 999) / 1000;
      problem.headers.emplace_back("Retry-After", std::to_string(seconds));
    }
    co_return problem;
  }
  co_return WithoutRoute(*routes, request);
}

}  // namespace

bool MatchPath(std::string_view pattern, std::string_view path, PathArguments& arguments) {
  arguments.clear();
  while (!pattern.empty() && !path.empty()) {
    if (pattern.front() != '/' || path.front() != '/') return false;
    if (!MatchPart(TakePart(pattern), TakePart(path), arguments)) return false;
  }
  return pattern.empty() && path.empty();
}

net::Handler MakeRouter(std::vector<Route> routes) {
  auto shared = std::make_shared<const std::vector<Route>>(std::move(routes));
  return [shared](net::HttpRequest& request) { return Dispatch(shared, request); };
}

}  // namespace tacit::api
