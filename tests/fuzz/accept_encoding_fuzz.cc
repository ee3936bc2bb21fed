#include <algorithm>
#include <string>

#include "server/api/dashboard_api.h"
#include "tests/fuzz/fuzz.h"

namespace {

std::string Upper(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(tacit::AsText({data, size}));
  const bool taken = tacit::api::TakesGzip(text);
  TACIT_CHECK(tacit::api::TakesGzip(Upper(text)) == taken, "codings and weights are the same in any case");
  TACIT_CHECK(tacit::api::TakesGzip(" \t" + text + " , ,") == taken, "space and empty elements say nothing");
  TACIT_CHECK(tacit::api::TakesGzip("gzip, " + text), "what is said of a coding first counts");
  TACIT_CHECK(!tacit::api::TakesGzip("gzip;q=0, " + text), "who does not want a coding does not get it");
  return 0;
}
