#include "common/net/problem_reader.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

namespace tacit::net {
namespace {

constexpr std::size_t kLongestDetail = 8192;
constexpr std::size_t kLargestDocument = 64UL * 1024;

// For answers that are no problem document, as a proxy in between gives them.
ErrorCode CodeOfStatus(int status) {
  if (status == 502 || status == 504) return ErrorCode::kUnavailable;
  for (const ErrorCodeTraits& traits : kErrorCodes) {
    if (traits.http_status == status) return traits.code;
  }
  return status >= 500 ? ErrorCode::kInternal : ErrorCode::kInvalidArgument;
}

ErrorCode CodeOfName(std::string_view name, int status) {
  for (const ErrorCodeTraits& traits : kErrorCodes) {
    if (traits.name == name) return traits.code;
  }
  return CodeOfStatus(status);
}

// Cuts between lines, and a line that is too long between characters: a byte of the form 10xxxxxx goes on with the one
// before it.
std::string Shortened(std::string text) {
  if (text.size() <= kLongestDetail) return text;
  std::size_t end = text.rfind('\n', kLongestDetail);
  if (end == std::string::npos) {
    end = kLongestDetail;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;
    text.resize(end);
    return text + "...";
  }
  const auto lines = std::count(text.begin() + static_cast<std::ptrdiff_t>(end), text.end(), '\n');
  text.resize(end);
  return text + "\nlines that are not shown: " + std::to_string(lines);
}

std::string Printable(std::string text) {
  text = Shortened(std::move(text));
  const auto is_control = [](char c) { return c != '\n' && (static_cast<unsigned char>(c) < 0x20 || c == 0x7f); };
  std::ranges::replace_if(text, is_control, '?');
  return text;
}

std::string TextAt(const nlohmann::json& document, const char* key) {
  const auto found = document.find(key);
  return found != document.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

Error ReadProblem(const ClientResponse& response) {
  const std::string status = "HTTP status " + std::to_string(response.status);
  const Error unexplained{CodeOfStatus(response.status), "the server answered with " + status + " and no explanation"};
  if (response.body.size() > kLargestDocument) return unexplained;
  const auto document = nlohmann::json::parse(response.body, nullptr, false);
  if (!document.is_object()) return unexplained;
  std::string detail = TextAt(document, "detail");
  if (detail.empty()) detail = TextAt(document, "title");
  if (detail.empty()) detail = unexplained.message;
  return {CodeOfName(TextAt(document, "code"), response.status), Printable(std::move(detail))};
}

Result<Bytes> BodyOrProblem(Result<ClientResponse> response) {
  TACIT_TRY(ClientResponse answer, std::move(response));
  if (answer.status < 200 || answer.status > 299) return std::unexpected(ReadProblem(answer));
  return std::move(answer.body);
}

}  // namespace tacit::net
