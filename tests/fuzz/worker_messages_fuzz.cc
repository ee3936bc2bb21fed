#include <cstring>

#include "common/bundle/ticket.h"
#include "edge_agent/worker/ending.h"
#include "edge_agent/worker/messages.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace tacit;
using namespace tacit::worker;

void CheckTensors(ByteSpan body) {
  const auto tensors = ParseTensors(body);
  if (!tensors) return;
  TACIT_CHECK(tensors->values.size() <= kMostTensors, "tensors are counted");
  std::size_t size = 0;
  for (const ByteSpan tensor : tensors->values) size += tensor.size();
  TACIT_CHECK(size <= body.size(), "tensors are parts of their frame");
  Bytes again;
  const TensorParts parts(tensors->rows, tensors->values);
  for (const ByteSpan part : parts.parts()) again.insert(again.end(), part.begin(), part.end());
  TACIT_CHECK(again.size() == body.size() && ParseTensors(again), "what was read can be written");
}

void CheckLoaded(ByteSpan body) {
  const auto loaded = ParseLoaded(body);
  if (!loaded) return;
  for (const auto* const ports : {&loaded->signature.inputs, &loaded->signature.outputs}) {
    TACIT_CHECK(ports->size() <= kMostTensors, "ports are counted");
    for (const auto& port : *ports) TACIT_CHECK(RowBytes(port) <= std::size_t{1} << 31U, "a row is bounded");
  }
  TACIT_CHECK(EncodeLoaded(*loaded).size() == body.size(), "what was read can be written");
}

// The first four bytes are how many rows were asked about.
void CheckVerdicts(ByteSpan body, bool of_askers) {
  std::uint32_t rows = 0;
  if (body.size() < sizeof rows) return;
  std::memcpy(&rows, body.data(), sizeof rows);
  body = body.subspan(sizeof rows);
  const Bytes bytes(body.begin(), body.end());
  if (of_askers) {
    if (const auto askers = ParseAskers(body, rows))
      TACIT_CHECK(EncodeAskers(*askers) == bytes, "askers have one text");
    return;
  }
  if (const auto judgement = ParseJudgement(body, rows)) {
    TACIT_CHECK(EncodeJudgement(*judgement) == bytes, "a judgement has one text");
    TACIT_CHECK(judgement->rows.size() == rows, "each row has a verdict");
  }
}

bool IsPrintable(std::string_view text) {
  for (const char c : text) {
    if (c < 0x20 || c > 0x7e) return false;
  }
  return true;
}

}  // namespace

/// What an agent and its inference worker read of each other.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteSpan body(data + 1, size - 1);
  switch (data[0] % 9) {
    case 0:
      if (const auto header = ParseHeader(body)) {
        TACIT_CHECK(AsText(EncodeHeader(*header)) == AsText(body), "a header has one text");
      }
      break;
    case 1:
      CheckTensors(body);
      break;
    case 2:
      CheckLoaded(body);
      break;
    case 3:
      if (const auto state = ParseState(body)) {
        TACIT_CHECK(EncodeState(*state) == Bytes(body.begin(), body.end()), "a state has one text");
        TACIT_CHECK(IsPrintable(state->protections.Degradations()), "nobody is steered");
      }
      break;
    case 4:
      TACIT_CHECK(IsPrintable(ParseFailure(body).message), "nobody is steered");
      break;
    case 5:
      if (const auto ticket = bundle::PayloadTicket::Parse(body)) {
        TACIT_CHECK(ticket->Encode() == Bytes(body.begin(), body.end()), "a ticket has one text");
      }
      break;
    case 6:
      CheckVerdicts(body, true);
      break;
    case 7:
      CheckVerdicts(body, false);
      break;
    default:
      for (const int status : {0, 6, 31, 70 << 8, 71 << 8, 72 << 8}) {
        TACIT_CHECK(IsPrintable(ReadEnding(status, AsText(body)).detail), "nobody is steered");
      }
  }
  return 0;
}
