#include <string>

#include "edge_agent/serving/token_file.h"
#include "tests/fuzz/fuzz.h"

// The file of tokens that an agent reads again whenever it has changed.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tacit;
  const auto tokens = serving::ParseTokens(AsText(ByteSpan(data, size)));
  if (!tokens) {
    TACIT_CHECK(!tokens.error().message.empty(), "a refusal says why");
    return 0;
  }
  TACIT_CHECK(tokens->size() <= serving::kMostTokens, "so many tokens and no more");
  const std::string text = serving::FormatTokens(*tokens);
  const auto again = serving::ParseTokens(text);
  TACIT_CHECK(again.has_value() && serving::FormatTokens(*again) == text, "what was read can be written and read");
  return 0;
}
