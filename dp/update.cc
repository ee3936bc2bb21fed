#include "dp/update.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "dp/clip.h"

namespace tacit::dp {
namespace {

// Of a sparse vector, spread at a time: what is written stays in the cache until it was measured.
constexpr std::size_t kSpreadEntries = 1024;
constexpr std::size_t kWordBits = 64;

// The bits of up to 64 entries, from `first` on, a multiple of 8; zeros behind the end.
std::uint64_t WordOfBits(ByteSpan bitmap, std::size_t first) {
  std::uint64_t word = 0;
  const std::size_t byte = first / 8;
  std::memcpy(&word, bitmap.data() + byte, std::min(sizeof word, bitmap.size() - byte));
  return word;
}

std::size_t CountOnes(ByteSpan bitmap, std::size_t first, std::size_t entries) {
  std::size_t ones = 0;
  for (std::size_t at = first; at < first + entries; at += kWordBits)
    ones += static_cast<std::size_t>(std::popcount(WordOfBits(bitmap, at)));
  return ones;
}

}  // namespace

std::span<const std::int32_t> VerifiedUpdate::Piece(std::size_t first, std::span<std::int32_t> scratch,
                                                    GridMeasure& measure) const {
  if (settled()) return memory_.As<std::int32_t>().subspan(first, scratch.size());
  const std::span<const float> floats = memory_.As<float>().subspan(first, scratch.size());
  measure.Add(Kernels().truncate(floats, factor_, NormOf(terms_.mechanism), scratch.data()));
  // An entry's own square, or magnitude, is in the measured length to within 2^-31, and what that leaves beyond the
  // radius is less than a step. Sums of 32 bits rely on it before the norm is known.
  TACIT_CHECK(measure.largest <= terms_.grid_radius.value(), "an entry is no longer than its vector");
  return scratch;
}

bool VerifiedUpdate::Holds(const GridMeasure& measure) const {
  return settled() || measure.Within(terms_.grid_radius, NormOf(terms_.mechanism));
}

std::span<const std::int32_t> VerifiedUpdate::Settle() {
  if (!settled()) {
    internal::PutOnGrid(memory_.As<float>(), factor_, terms_.grid_radius, NormOf(terms_.mechanism),
                        memory_.As<std::int32_t>().first(size()));
    factor_ = 0;
  }
  return memory_.As<std::int32_t>().first(size());
}

void VerifiedUpdate::Shrink(Share share) {
  if (share.parts() == Share::kWhole) return;
  Settle();
  for (std::int32_t& entry : memory_.As<std::int32_t>().first(size())) entry = share.ApplyTo(entry);
}

UpdateIntake::UpdateIntake(AlignedBuffer memory, Entries entries, UpdateTerms terms, std::uint32_t shift,
                           std::optional<Sparse> sparse)
    : memory_(std::move(memory)), entries_(entries), terms_(terms), shift_(shift), sparse_(sparse) {
  TACIT_CHECK(shift <= LargestShift(width()), "a shifted entry is a grid integer");
  if (sparse) {
    TACIT_CHECK(entries != Entries::kFloats, "what is not on the grid is not sparse");
    TACIT_CHECK(sparse->values > 0 && sparse->values <= sparse->parameters, "each value has an entry");
    TACIT_CHECK(memory_.size() == sparse->MemoryBytes(), "the bits stand right behind the last entry");
  }
  const std::size_t traveling =
      sparse ? sparse->values * BytesOf(width()) + sparse->BitmapBytes() : parameters() * BytesOf(width());
  begin_ = memory_.size() - traveling;
}

std::size_t UpdateIntake::parameters() const {
  return sparse_ ? sparse_->parameters : memory_.size() / sizeof(std::int32_t);
}

Width UpdateIntake::width() const {
  return entries_ == Entries::kGrid8 ? Width::k8 : entries_ == Entries::kGrid16 ? Width::k16 : Width::k32;
}

std::span<std::int32_t> UpdateIntake::grid() {
  return memory_.As<std::int32_t>().first(parameters());
}

void UpdateIntake::Received(std::size_t bytes) {
  TACIT_CHECK(received_ % kPieceUnit == 0 && bytes <= Rest().size(), "pieces are whole but for the last");
  const std::size_t first = received_ / BytesOf(width());
  const std::size_t count = bytes / BytesOf(width());
  received_ += bytes;
  // Where a sparse entry belongs is known once the last byte is there.
  if (sparse_) return;
  if (width() != Width::k32) Widen(first, count, grid().data() + first);
  if (entries_ == Entries::kFloats) {
    Kernels().measure(memory_.As<float>().subspan(first, count), norm(), floats_);
  } else {
    integers_.Add(Kernels().measure_grid(grid().subspan(first, count), norm()));
  }
}

void UpdateIntake::Widen(std::size_t first, std::size_t count, std::int32_t* wide) const {
  const std::uint8_t* const narrow = memory_.data() + begin_;
  if (width() == Width::k8) {
    Kernels().widen8({reinterpret_cast<const std::int8_t*>(narrow) + first, count}, shift_, wide);
  } else if (width() == Width::k16) {
    Kernels().widen16({reinterpret_cast<const std::int16_t*>(narrow) + first, count}, shift_, wide);
  } else {
    std::memcpy(wide, narrow + first * sizeof(std::int32_t), count * sizeof(std::int32_t));
  }
}

Result<void> UpdateIntake::CheckBitmap() const {
  const Sparse& sparse = Present(sparse_, "only a sparse vector has one");
  const ByteSpan bitmap = memory_.bytes().last(sparse.BitmapBytes());
  const std::size_t last_bits = sparse.parameters % 8;
  if (last_bits != 0 && bitmap.back() >> last_bits != 0) {
    return Fail(ErrorCode::kMalformed, "the bits of a sparse update go on behind its last parameter");
  }
  const std::size_t ones = CountOnes(bitmap, 0, sparse.parameters);
  if (ones == sparse.values) return {};
  return Fail(ErrorCode::kMalformed, "the bits of a sparse update do not fit its values: " + std::to_string(ones) +
                                         " are one, and it has " + std::to_string(sparse.values) + " values");
}

// From the first entry to the last, in the place where the values wait at the end. An entry is written over nothing
// that is still needed: the values of its block are taken out before, and those behind fill at most the entries behind,
// because each of them has one of its own.
void UpdateIntake::Spread() {
  const Sparse& sparse = Present(sparse_, "only a sparse vector is spread");
  const ByteSpan bitmap = std::as_const(memory_).bytes().last(sparse.BitmapBytes());
  std::array<std::int32_t, kSpreadEntries> values{};
  std::size_t taken = 0;
  for (std::size_t first = 0; first < sparse.parameters; first += kSpreadEntries) {
    const std::span<std::int32_t> block = grid().subspan(first, std::min(kSpreadEntries, sparse.parameters - first));
    const std::size_t count = CountOnes(bitmap, first, block.size());
    Widen(taken, count, values.data());
    taken += count;
    integers_.Add(Kernels().measure_grid(std::span<const std::int32_t>(values).first(count), norm()));
    std::ranges::fill(block, 0);
    const std::int32_t* value = values.data();
    for (std::size_t at = 0; at < block.size(); at += kWordBits) {
      for (std::uint64_t word = WordOfBits(bitmap, first + at); word != 0; word &= word - 1)
        block[at + static_cast<std::size_t>(std::countr_zero(word))] = *value++;
    }
  }
}

Result<VerifiedUpdate> UpdateIntake::Clip(ClipNorm clip_norm) && {
  TACIT_CHECK(entries_ == Entries::kFloats && Rest().empty(), "all of the floats are there");
  TACIT_CHECK(terms_.entry_bound == 0, "what a server clips was not noised");
  TACIT_TRY(const internal::Scale scale, internal::ScaleOf({.values = memory_.As<float>(),
                                                            .measure = floats_,
                                                            .clip_norm = clip_norm,
                                                            .grid_radius = terms_.grid_radius,
                                                            .norm = norm()}));
  return std::move(*this).Seal(scale.clipped ? Fit::kClipped : Fit::kWithinClip, scale.factor);
}

Result<VerifiedUpdate> UpdateIntake::Verify(Fit told) && {
  TACIT_CHECK(entries_ != Entries::kFloats && Rest().empty(), "all of the integers are there");
  if (sparse_) {
    TACIT_TRY_VOID(CheckBitmap());
    Spread();
  }
  TACIT_TRY_VOID(terms_.entry_bound > 0 ? internal::CheckEntries(grid(), integers_, terms_.entry_bound)
                                        : internal::CheckGrid(grid(), integers_, terms_.grid_radius, norm()));
  return std::move(*this).Seal(told, 0);
}

VerifiedUpdate UpdateIntake::Seal(Fit fit, double factor) && {
  const std::size_t size = parameters();
  return {std::move(memory_), size, terms_, fit, factor};
}

}  // namespace tacit::dp
