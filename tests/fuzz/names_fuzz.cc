#include "common/base/bytes.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/crypto/certificate.h"
#include "common/crypto/spiffe.h"
#include "tests/fuzz/fuzz.h"

namespace {

void CheckName(std::string_view text) {
  const auto task = tacit::TaskId::Parse(text);
  if (!task) return;
  TACIT_CHECK(task->str() == text, "a name has one spelling");
  TACIT_CHECK(text.find_first_of("/.%\\ \n") == text.npos, "a name is safe in a path");
}

void CheckSpiffe(std::string_view text) {
  const auto id = tacit::crypto::SpiffeId::Parse(text);
  if (!id) return;
  TACIT_CHECK(id->ToUri() == text, "an identity has one text");
}

void CheckQuoted(std::string_view text) {
  const std::string quoted = tacit::JsonQuote(text);
  TACIT_CHECK(quoted.size() >= 2 && quoted.front() == '"' && quoted.back() == '"', "a JSON string");
  for (const char c : quoted) TACIT_CHECK(static_cast<unsigned char>(c) >= 0x20, "a log line stays one line");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = tacit::AsText({data, size});
  CheckName(text);
  CheckSpiffe(text);
  CheckQuoted(text);
  if (const auto bytes = tacit::ParseHex(text)) TACIT_CHECK(bytes->size() * 2 == size, "two digits a byte");
  (void)tacit::crypto::ParseFingerprint(text);
  return 0;
}
