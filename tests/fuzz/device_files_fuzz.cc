#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "common/graph/from_spec.h"
#include "common/model/spec.h"
#include "edge_agent/data/source_config.h"
#include "edge_agent/delivery/held_model.h"
#include "edge_agent/enrolment/identity_file.h"
#include "edge_agent/upload/kept_files.h"
#include "edge_agent/upload/local_ledger.h"
#include "edge_agent/upload/pending_update.h"
#include "edge_agent/upload/residual.h"
#include "tests/fuzz/fuzz.h"

namespace {

/// `content` with the digest that ends the file: lets the search change what the digest is over.
void ReadPendingUpdate(tacit::ByteSpan content) {
  const tacit::Digest128 digest = tacit::Xxh3(content);
  const tacit::Bytes file = tacit::ByteWriter().Raw(content).Raw(digest).bytes();
  const auto update = tacit::upload::ParsePendingUpdate(file);
  if (!update) return;
  TACIT_CHECK(update->header.payload_bytes == update->payload.size(), "what is sent is what is announced");
  TACIT_CHECK(update->header.sparse == !update->unsent.empty(), "a sparse update leaves a rest, and no other does");
}

void ReadResidual(tacit::ByteSpan numbers) {
  std::vector<float> floats(numbers.size() / sizeof(float));
  if (floats.empty()) return;
  std::memcpy(floats.data(), numbers.data(), floats.size() * sizeof(float));
  const tacit::Bytes file = tacit::upload::FormatResidual(floats);
  const auto residual = tacit::upload::ParseResidual(file);
  const bool finite = std::ranges::all_of(floats, [](float value) { return std::isfinite(value); });
  TACIT_CHECK(residual.has_value() == finite, "what is added to an update is finite");
  TACIT_CHECK(!tacit::upload::ParseResidual(numbers).has_value(), "what no digest was found for is not read");
}

void ReadHeldModel(tacit::ByteSpan content) {
  const auto file = tacit::upload::WithDigest(std::move(tacit::ByteWriter().Raw(content)));
  const auto model = tacit::delivery::ParseHeldModel(file);
  TACIT_CHECK(!model || tacit::delivery::FormatHeldModel(*model) == file, "a record has one form");
}

void ReadIdentityRecord(std::string_view text) {
  const auto record = tacit::enrolment::ParseIdentityRecord(text);
  if (!record) return;
  const auto again = tacit::enrolment::ParseIdentityRecord(tacit::enrolment::FormatIdentityRecord(*record));
  TACIT_CHECK(again.has_value() && again->device == record->device && again->agents.host == record->agents.host,
              "a record that was read can be written and read");
}

void ReadDataSource(std::string_view text) {
  const auto source = tacit::data::ParseDataSource(text, "agent.toml", "/data");
  TACIT_CHECK(source.has_value() || !source.error().message.empty(), "a refusal says why");
}

void ReadLocalRecord(std::string_view text) {
  const auto record = tacit::upload::ParseLocalRecord(text);
  if (!record) return;
  const auto again = tacit::upload::ParseLocalRecord(tacit::upload::FormatLocalRecord(*record));
  TACIT_CHECK(again.has_value() && *again == *record, "a record that was read can be written and read");
}

void ReadModelSpec(std::string_view text) {
  const auto spec = tacit::model::ModelSpec::Parse(text);
  if (!spec) return;
  TACIT_CHECK(spec->CanonicalText() == text, "a model has one text");
  TACIT_CHECK(spec->ParameterCount() <= tacit::model::ModelSpec::kMaxParameters, "the memory of a model is bounded");
  // Which checks for itself that every model is one that engines take.
  constexpr std::size_t kFew = 1U << 12U;
  if (spec->ParameterCount() <= kFew) (void)tacit::graph::FromSpec(*spec, std::vector<float>(spec->ParameterCount()));
}

}  // namespace

/// What a device keeps on its disk, which a crash or another program may have damaged. The first byte says which file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const tacit::ByteSpan rest(data + 1, size - 1);
  switch (data[0] % 6) {
    case 0:
      ReadPendingUpdate(rest);
      ReadResidual(rest);
      break;
    case 1:
      ReadIdentityRecord(tacit::AsText(rest));
      break;
    case 2:
      ReadDataSource(tacit::AsText(rest));
      break;
    case 5:
      ReadHeldModel(rest);
      break;
    case 3:
      ReadModelSpec(tacit::AsText(rest));
      break;
    default:
      ReadLocalRecord(tacit::AsText(rest));
      break;
  }
  return 0;
}
