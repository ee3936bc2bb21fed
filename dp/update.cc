#include "dp/update.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "dp/clip.h"

namespace tacit::dp {

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
                        memory_.As<std::int32_t>());
    factor_ = 0;
  }
  return memory_.As<std::int32_t>();
}

void VerifiedUpdate::Shrink(Share share) {
  if (share.parts() == Share::kWhole) return;
  Settle();
  for (std::int32_t& entry : memory_.As<std::int32_t>()) entry = share.ApplyTo(entry);
}

UpdateIntake::UpdateIntake(AlignedBuffer memory, Entries entries, UpdateTerms terms, std::uint32_t shift)
    : memory_(std::move(memory)),
      entries_(entries),
      terms_(terms),
      shift_(shift),
      begin_(memory_.size() - memory_.size() / sizeof(std::int32_t) * BytesOf(width())) {
  TACIT_CHECK(shift <= LargestShift(width()), "a shifted entry is a grid integer");
}

Width UpdateIntake::width() const {
  return entries_ == Entries::kGrid8 ? Width::k8 : entries_ == Entries::kGrid16 ? Width::k16 : Width::k32;
}

std::span<std::int32_t> UpdateIntake::grid() {
  return memory_.As<std::int32_t>();
}

void UpdateIntake::Received(std::size_t bytes) {
  TACIT_CHECK(received_ % kPieceUnit == 0 && bytes <= Rest().size(), "pieces are whole but for the last");
  const std::size_t first = received_ / BytesOf(width());
  const std::size_t count = bytes / BytesOf(width());
  Widen(first, count);
  if (entries_ == Entries::kFloats) {
    Kernels().measure(memory_.As<float>().subspan(first, count), norm(), floats_);
  } else {
    integers_.Add(Kernels().measure_grid(grid().subspan(first, count), norm()));
  }
  received_ += bytes;
}

void UpdateIntake::Widen(std::size_t first, std::size_t count) {
  const std::uint8_t* const narrow = memory_.data() + begin_;
  std::int32_t* const wide = grid().data() + first;
  if (width() == Width::k8) {
    Kernels().widen8({reinterpret_cast<const std::int8_t*>(narrow) + first, count}, shift_, wide);
  } else if (width() == Width::k16) {
    Kernels().widen16({reinterpret_cast<const std::int16_t*>(narrow) + first, count}, shift_, wide);
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
  TACIT_TRY_VOID(terms_.entry_bound > 0 ? internal::CheckEntries(grid(), integers_, terms_.entry_bound)
                                        : internal::CheckGrid(grid(), integers_, terms_.grid_radius, norm()));
  return std::move(*this).Seal(told, 0);
}

VerifiedUpdate UpdateIntake::Seal(Fit fit, double factor) && {
  return {std::move(memory_), terms_, fit, factor};
}

}  // namespace tacit::dp
