#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/net/http.h"
#include "server/api/access.h"

// What many requests of operators have.
namespace tacit::api {

/// The most bytes of a body that holds no task file.
inline constexpr std::size_t kMaxSmallBody = 16 * 1024;

/// A member of a body as Error::field has it, whatever it is called. Source: RFC 6901, sections 3 and 6.
std::string PointerTo(std::string_view member);

/// Errors, here and below: kInvalidArgument, naming the parameter.
Result<std::uint64_t> ParseNumber(std::string_view name, std::string_view text);
/// A whole number in the query, or `otherwise`.
Result<std::uint64_t> QueryNumber(const net::HttpRequest& request, std::string_view name, std::uint64_t otherwise);
/// `limit`, 1 to 1000; 100 when it is not there.
Result<std::size_t> PageSize(const net::HttpRequest& request);

/// The task that the path names first. Errors: kInvalidArgument for what is no name; kNotFound.
net::Task<Result<coordinator::TaskView>> FindTask(const Call& call);

}  // namespace tacit::api
