#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/net/http.h"

namespace tacit::api {

/// What the `{...}` parts of a route's pattern matched, in order. Percent escapes are not decoded: no name of ours has
/// any.
using PathArguments = std::vector<std::string>;

/// One row of a listener's routing table.
struct Route {
  std::string_view method;
  std::string_view
      pattern;  ///< "/v1/tasks/{task}/rounds/{round}/update"; a literal suffix may follow a part: "{device}:revoke".
  std::function<net::Task<Result<net::HttpResponse>>(net::HttpRequest&, const PathArguments&)> handle;
};

/// A handler that looks the request up in `routes`, answers HEAD through GET and OPTIONS by itself, and turns an error
/// into a problem. The routes are copied.
/// Errors: answers 404 for an unknown path and 405, with Allow, for a method that the path does not take.
net::Handler MakeRouter(std::vector<Route> routes);

/// The arguments when `path` fits `pattern`, or nothing. For tests and MakeRouter.
bool MatchPath(std::string_view pattern, std::string_view path, PathArguments& arguments);

}  // namespace tacit::api
