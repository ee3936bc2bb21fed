#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "dp/update.h"
#include "tests/fuzz/fuzz.h"

namespace tacit::dp {
namespace {

constexpr std::size_t kLead = 5;
constexpr std::uint32_t kRadius = 1U << 20U;

/// The vector of a sparse payload, entry by entry; nothing where its bits do not fit its values.
std::optional<std::vector<std::int64_t>> Naive(const Sparse& sparse, ByteSpan payload, std::size_t width,
                                               std::uint32_t shift) {
  const ByteSpan bitmap = payload.subspan(sparse.values * width);
  std::vector<std::int64_t> entries(sparse.parameters);
  std::size_t taken = 0;
  for (std::size_t i = 0; i < bitmap.size() * 8; ++i) {
    if ((bitmap[i / 8] >> (i % 8) & 1U) == 0) continue;
    if (i >= sparse.parameters || taken == sparse.values) return std::nullopt;
    std::int64_t value = static_cast<std::int8_t>(payload[taken * width + width - 1]);
    for (std::size_t byte = width - 1; byte-- > 0;) value = value * 256 + payload[taken * width + byte];
    entries[i] = value * (std::int64_t{1} << shift);
    ++taken;
  }
  if (taken != sparse.values) return std::nullopt;
  return entries;
}

bool WithinRadius(const std::vector<std::int64_t>& entries, Norm norm) {
  unsigned __int128 magnitudes = 0;
  unsigned __int128 squares = 0;
  for (const std::int64_t entry : entries) {
    magnitudes += static_cast<unsigned __int128>(entry < 0 ? -entry : entry);
    squares += static_cast<unsigned __int128>(entry * static_cast<__int128>(entry));
  }
  return norm == Norm::kL1 ? magnitudes <= kRadius : squares <= static_cast<unsigned __int128>(kRadius) * kRadius;
}

void TakeSparse(const Sparse& sparse, Width width, std::uint32_t shift, Mechanism mechanism, ByteSpan sent) {
  using Entries = UpdateIntake::Entries;
  const Entries entries = width == Width::k8    ? Entries::kGrid8
                          : width == Width::k16 ? Entries::kGrid16
                                                : Entries::kGrid;
  UpdateIntake intake(AlignedBuffer(sparse.MemoryBytes()), entries,
                      {.mechanism = mechanism, .grid_radius = *GridRadius::Create(kRadius)}, shift, sparse);
  // What does not come is zero.
  Bytes payload(intake.Rest().size());
  std::ranges::copy(sent.first(std::min(sent.size(), payload.size())), payload.begin());
  while (!intake.Rest().empty()) {
    const std::size_t count = std::min(UpdateIntake::kPieceUnit, intake.Rest().size());
    std::memcpy(intake.Rest().data(), payload.data() + intake.received(), count);
    intake.Received(count);
  }
  auto update = std::move(intake).Verify(Fit::kWithinClip);
  const auto expected = Naive(sparse, payload, BytesOf(width), shift);
  TACIT_CHECK(update.has_value() == (expected && WithinRadius(*expected, NormOf(mechanism))),
              "the bits and the norm decide, nothing else");
  if (update) TACIT_CHECK(std::ranges::equal(update->Settle(), *expected), "each value is where it belongs");
}

}  // namespace
}  // namespace tacit::dp

/// A sparse update as a server takes it in. In front: parameters, values, and width, shift and norm in a byte; then the
/// payload.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace dp = tacit::dp;
  if (size < dp::kLead) return 0;
  const std::size_t parameters = 1 + (data[0] + 256U * data[1]) % 4096U;
  const std::size_t values = 1 + (data[2] + 256U * data[3]) % parameters;
  const dp::Width width = std::array{dp::Width::k8, dp::Width::k16, dp::Width::k32}.at(data[4] % 3U);
  const std::uint32_t shift = (data[4] / 3U) % (dp::LargestShift(width) + 1);
  const dp::Mechanism mechanism = data[4] < 128 ? dp::Mechanism::kGaussian : dp::Mechanism::kLaplace;
  dp::TakeSparse({.parameters = parameters, .values = values}, width, shift, mechanism,
                 tacit::ByteSpan(data, size).subspan(dp::kLead));
  return 0;
}
