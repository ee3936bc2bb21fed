#include "server/telemetry/headers_file.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/files.h"
#include "common/crypto/secret.h"

namespace tacit::telemetry {
namespace {

constexpr std::size_t kMaxHeadersBytes = std::size_t{64} * 1024;

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

}  // namespace

Result<std::vector<web::WebHeader>> ParseHeaders(std::string_view text) {
  std::vector<web::WebHeader> headers;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = Trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    const std::size_t colon = line.find(':');
    web::WebHeader header;
    if (colon != std::string_view::npos) {
      header = {.name = std::string(Trimmed(line.substr(0, colon))),
                .value = std::string(Trimmed(line.substr(colon + 1)))};
    }
    if (!web::CanBeSent(header)) {
      return Fail(ErrorCode::kInvalidArgument,
                  "line " + std::to_string(number) + " is no header such as 'Authorization: Bearer ...'");
    }
    headers.push_back(std::move(header));
  }
  return headers;
}

Result<std::vector<web::WebHeader>> ReadHeadersFile(const std::filesystem::path& path) {
  TACIT_TRY(Bytes text, ReadFile(path, kMaxHeadersBytes));
  TACIT_TRY_VOID(CheckClosedToOthers(path));
  auto headers = ParseHeaders(AsText(text));
  crypto::Zeroise(text);
  if (!headers) return Annotate(headers.error(), path.string());
  return headers;
}

}  // namespace tacit::telemetry
