#include "server/api/request_parts.h"

#include <string>
#include <utility>

#include "common/base/text.h"

namespace tacit::api {

namespace {

constexpr std::size_t kDefaultPage = 100;
constexpr std::size_t kMaxPage = 1000;

}  // namespace

Result<std::uint64_t> ParseNumber(std::string_view name, std::string_view text) {
  if (const std::optional<std::uint64_t> value = ParseWhole(text)) return *value;
  return Fail(ErrorCode::kInvalidArgument,
              std::string(name) + " must be a whole number, not '" + std::string(text) + "'");
}

Result<std::uint64_t> QueryNumber(const net::HttpRequest& request, std::string_view name, std::uint64_t otherwise) {
  const auto text = request.Query(name);
  if (!text) return otherwise;
  return At("?" + std::string(name), ParseNumber(name, *text));
}

std::string PointerTo(std::string_view member) {
  constexpr std::string_view kAsItIs = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string pointer = "#/";
  for (const char c : member) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '~' || c == '/') {
      pointer += c == '~' ? "~0" : "~1";
    } else if (kAsItIs.contains(c)) {
      pointer += c;
    } else {
      pointer.append({'%', kDigits[byte >> 4U], kDigits[byte & 0xfU]});
    }
  }
  return pointer;
}

Result<std::size_t> PageSize(const net::HttpRequest& request) {
  TACIT_TRY(const std::uint64_t limit, QueryNumber(request, "limit", kDefaultPage));
  if (limit == 0 || limit > kMaxPage) {
    return FailAt("?limit", ErrorCode::kInvalidArgument, "limit must be between 1 and " + std::to_string(kMaxPage));
  }
  return static_cast<std::size_t>(limit);
}

net::Task<Result<coordinator::TaskView>> FindTask(const Call& call) {
  TACIT_CO_TRY(TaskId id, TaskId::Parse(call.path[0]));
  co_return co_await call.context.coordinator.Task(std::move(id));
}

}  // namespace tacit::api
