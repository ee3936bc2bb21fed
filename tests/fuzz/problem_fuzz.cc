#include <algorithm>

#include "common/net/problem_reader.h"
#include "tests/fuzz/fuzz.h"

/// What an agent makes of the error documents that a server, or something in its place, answers with.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr int kStatuses[] = {400, 401, 403, 404, 409, 410, 413, 422, 429, 500, 503, 418};
  tacit::net::ClientResponse response;
  response.status = kStatuses[data[0] % std::size(kStatuses)];
  response.headers = {{"content-type", "application/problem+json"}};
  response.body.assign(data + 1, data + size);
  const tacit::Error error = tacit::net::ReadProblem(response);
  TACIT_CHECK(!error.message.empty(), "an error says something");
  const auto steers = [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7f; };
  TACIT_CHECK(std::ranges::none_of(error.message, steers), "a server cannot steer the terminal that shows it");
  return 0;
}
