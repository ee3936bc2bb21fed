#include <algorithm>

#include "server/telemetry/headers_file.h"
#include "server/telemetry/mlflow.h"
#include "server/telemetry/otlp.h"
#include "tests/fuzz/fuzz.h"

/// What a collector, a model registry, or something in their place, answers with; and a file of headers.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = tacit::AsText({data, size});
  const auto steers = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (const auto said = tacit::telemetry::ParseExportAnswer(text))
    TACIT_CHECK(std::ranges::none_of(said->message, steers),
                "a collector cannot steer the terminal that shows its words");
  const auto page = tacit::telemetry::ParseVersions(text);
  TACIT_CHECK(page || !page.error().message.empty(), "a refusal says why");
  static_cast<void>(tacit::telemetry::ErrorCodeOf(text));
  if (const auto headers = tacit::telemetry::ParseHeaders(text)) {
    for (const auto& header : *headers) TACIT_CHECK(tacit::web::CanBeSent(header), "what was read can be sent");
  }
  return 0;
}
