#include "dp/sum.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "dp/clip.h"
#include "dp/vector_kernels.h"
#include "dp/wipe.h"

namespace tacit::dp {
namespace {

constexpr std::uint64_t kLargestTotal = std::uint64_t{1} << 62U;
constexpr std::uint64_t kLargestNarrow = (std::uint64_t{1} << 31U) - 1;
/// Entries of a sealed sum begin at a multiple of this, so that every block of a sealer holds whole ones.
constexpr std::size_t kHeadUnit = 64;
constexpr std::size_t kNarrow = sizeof(std::int32_t);
constexpr std::size_t kWide = sizeof(std::int64_t);

std::uint64_t LargestOfOne(const SumOptions& options) {
  return options.entry_bound > 0 ? options.entry_bound : options.grid_radius.value();
}

std::uint64_t LargestTotalWeight(const SumOptions& options) {
  return kLargestTotal / LargestOfOne(options);
}

std::unexpected<Error> CouldOverflow(const SumOptions& options) {
  return Fail(ErrorCode::kTooLarge, "the sum could overflow: the weights would exceed " +
                                        std::to_string(LargestTotalWeight(options)) +
                                        "; choose a smaller grid radius or cap the example counts lower");
}

Bytes SerialisedOptions(const SumOptions& options) {
  ByteWriter writer;
  writer.Text("tacit-sum/4").Text(options.round.task.str()).U64(options.round.round);
  writer.U8(static_cast<std::uint8_t>(options.mechanism)).U32(options.grid_radius.value()).U64(options.parameters);
  writer.U32(options.bit_steps).U32(options.entry_bound);
  return std::move(writer).Take();
}

/// Puts what of the head belongs into the block that begins at `at`, and gives what of the block is left for entries.
std::span<std::uint8_t> PutHead(const Bytes& head, std::size_t at, std::span<std::uint8_t> block) {
  if (at >= head.size()) return block;
  const ByteSpan part = ByteSpan(head).subspan(at, std::min(block.size(), head.size() - at));
  std::ranges::copy(part, block.begin());
  return block.subspan(part.size());
}

/// The first entry of a block that begins at `at`.
std::size_t FirstEntry(const Bytes& head, std::size_t at, std::size_t width) {
  return (std::max(at, head.size()) - head.size()) / width;
}

/// Blocks begin where every entry may: sealers give them aligned, and the head's length is a multiple of kHeadUnit.
template <typename Entry>
std::span<Entry> EntriesIn(std::span<std::uint8_t> block) {
  return {reinterpret_cast<Entry*>(block.data()), block.size() / sizeof(Entry)};
}

template <typename Entry>
std::span<const Entry> EntriesOf(ByteSpan block) {
  return {reinterpret_cast<const Entry*>(block.data()), block.size() / sizeof(Entry)};
}

template <typename Entry>
bool WithinBound(ByteSpan block, std::int64_t bound) {
  Entry least = 0;
  Entry largest = 0;
  for (const Entry entry : EntriesOf<Entry>(block)) {
    least = std::min(least, entry);
    largest = std::max(largest, entry);
  }
  return std::int64_t{largest} <= bound && std::int64_t{least} >= -bound;
}

std::uint64_t ReadU64(ByteSpan bytes) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

/// What the bit of one device adds.
std::int64_t BitOf(const SumOptions& options, Fit fit) {
  const auto steps = static_cast<std::int64_t>(options.bit_steps);
  return fit == Fit::kWithinClip ? steps : -steps;
}

/// Calls `take(piece, at)` for the entries from `first` on, `count` of them, `at` of them after others.
template <typename Take>
void ForPieces(const VerifiedUpdate& update, std::size_t first, std::size_t count, GridMeasure& measure, Take take) {
  // In the first level of the cache, with the sums.
  std::array<std::int32_t, 2048> scratch;
  for (std::size_t at = 0; at < count; at += scratch.size()) {
    const std::span<std::int32_t> room = std::span(scratch).first(std::min(scratch.size(), count - at));
    take(update.Piece(first + at, room, measure), at);
  }
}

std::unexpected<Error> WeightsAreForNone() {
  return Fail(ErrorCode::kInvalidArgument, "weights are for mechanism none: under privacy every device has weight one");
}

std::unexpected<Error> NotASum(std::string_view why) {
  return Fail(ErrorCode::kDataLoss, "a stored partial sum " + std::string(why));
}

}  // namespace

Result<UnnoisedSum> UnnoisedSum::Create(SumOptions options) {
  const std::size_t entries = options.parameters + (options.bit_steps > 0 ? 1 : 0);
  if (options.parameters == 0 || entries > kMaxParameters) {
    return Fail(ErrorCode::kInvalidArgument, "a sum of " + std::to_string(options.parameters) + " parameters; 1 to " +
                                                 std::to_string(kMaxParameters) + " are supported");
  }
  if (options.bit_steps > options.grid_radius.value() ||
      (options.bit_steps > 0 && options.mechanism != Mechanism::kGaussian)) {
    return Fail(ErrorCode::kInvalidArgument, "bits of a clip norm that follows a quantile are for Gaussian noise");
  }
  if (options.entry_bound > 0 && options.mechanism != Mechanism::kNone) {
    return Fail(ErrorCode::kInvalidArgument,
                "vectors that are noised already have no norm that the noise of their sum could be sized for");
  }
  return UnnoisedSum(std::move(options));
}

UnnoisedSum::UnnoisedSum(SumOptions options)
    : options_(std::move(options)), memory_((options_.parameters + (options_.bit_steps > 0 ? 1 : 0)) * kWide) {
  std::ranges::fill(values(), 0);
}
UnnoisedSum::~UnnoisedSum() {
  Wipe();
}

UnnoisedSum::UnnoisedSum(UnnoisedSum&& other) noexcept
    : options_(std::move(other.options_)),
      contributions_(std::exchange(other.contributions_, 0)),
      total_weight_(std::exchange(other.total_weight_, 0)),
      memory_(std::move(other.memory_)) {}

UnnoisedSum& UnnoisedSum::operator=(UnnoisedSum&& other) noexcept {
  if (this == &other) return *this;
  Wipe();
  options_ = std::move(other.options_);
  contributions_ = std::exchange(other.contributions_, 0);
  total_weight_ = std::exchange(other.total_weight_, 0);
  memory_ = std::move(other.memory_);
  return *this;
}

void UnnoisedSum::Wipe() {
  WipeMemory(memory_.data(), memory_.size());
}

Result<void> UnnoisedSum::Add(std::span<const std::int32_t> grid) {
  if (options_.bit_steps > 0) return Fail(ErrorCode::kInvalidArgument, "the update comes without its clip bit");
  return AddVerified(grid, 1);
}

Result<void> UnnoisedSum::Add(std::span<const std::int32_t> grid, Fit fit) {
  if (options_.bit_steps == 0) return Fail(ErrorCode::kInvalidArgument, "the update comes with a clip bit");
  TACIT_TRY_VOID(AddVerified(grid, 1));
  values().back() += BitOf(options_, fit);
  return {};
}

Result<void> UnnoisedSum::AddWeighted(std::span<const std::int32_t> grid, std::uint64_t weight) {
  if (options_.mechanism != Mechanism::kNone) return WeightsAreForNone();
  if (weight == 0) return Fail(ErrorCode::kInvalidArgument, "an update of weight 0");
  return AddVerified(grid, weight);
}

Result<void> UnnoisedSum::AddVerified(std::span<const std::int32_t> grid, std::uint64_t weight) {
  TACIT_TRY_VOID(CheckLength(grid.size()));
  TACIT_TRY_VOID(CheckRoom(weight));
  TACIT_TRY_VOID(options_.entry_bound > 0 ? VerifyEntries(grid, options_.entry_bound)
                                          : VerifyGrid(grid, options_.grid_radius, NormOf(options_.mechanism)));
  Kernels().add(grid, static_cast<std::int64_t>(weight), values().data());
  ++contributions_;
  total_weight_ += weight;
  return {};
}

Result<void> UnnoisedSum::CheckLength(std::size_t size) const {
  if (size == options_.parameters) return {};
  return Fail(ErrorCode::kInvalidArgument, "the update has " + std::to_string(size) + " entries and the model has " +
                                               std::to_string(options_.parameters));
}

// Keeps total_weight_ times the largest verified entry, and with it every entry of the sum, at most 2^62.
Result<void> UnnoisedSum::CheckRoom(std::uint64_t weight) const {
  if (weight <= LargestTotalWeight(options_) - total_weight_) return {};
  return CouldOverflow(options_);
}

// ---- Many at once ----

/// The sum of their weights.
Result<std::uint64_t> UnnoisedSum::CheckAddends(std::span<const Addend> addends) const {
  const UpdateTerms terms{
      .mechanism = options_.mechanism, .grid_radius = options_.grid_radius, .entry_bound = options_.entry_bound};
  std::uint64_t total = 0;
  for (const Addend& each : addends) {
    TACIT_TRY_VOID(CheckLength(each.update->size()));
    if (each.update->terms() != terms)
      return Fail(ErrorCode::kConflict, "the update was verified for another mechanism, grid or bound than the sum's");
    if (each.weight == 0) return Fail(ErrorCode::kInvalidArgument, "an update of weight 0");
    if (each.weight != 1 && options_.mechanism != Mechanism::kNone) return WeightsAreForNone();
    // One by one, so that the total cannot wrap.
    if (each.weight > LargestTotalWeight(options_) - total_weight_ - total) return CouldOverflow(options_);
    total += each.weight;
  }
  return total;
}

std::int64_t UnnoisedSum::BitsOf(std::span<const Addend> addends) const {
  std::int64_t bits = 0;
  for (const Addend& each : addends) bits += BitOf(options_, each.update->fit());
  return bits;
}

struct UnnoisedSum::Sealing {
  std::span<const Addend> addends;
  const Counts& counts;
  const Sealer& sealer;
  ByteSpan context;
};

Result<ByteSpan> UnnoisedSum::AddAndSeal(std::span<const Addend> addends, const Sealer& sealer, ByteSpan context,
                                         AlignedBuffer& room) {
  TACIT_TRY(const std::uint64_t weight, CheckAddends(addends));
  // Narrow entries are half of what is sealed and written, and exact: no sum of so many can leave 32 bits.
  const bool fits = weight == addends.size() && weight <= kLargestNarrow / LargestOfOne(options_);
  const Counts counts{.contributions = addends.size(), .total_weight = weight, .width = fits ? kNarrow : kWide};
  const std::size_t plaintext = HeadOf(counts).size() + values().size() * counts.width;
  const std::span<std::uint8_t> sealed = room.AtLeast(sealer.SealedSize(plaintext));
  const Sealing to{.addends = addends, .counts = counts, .sealer = sealer, .context = context};
  TACIT_TRY(const bool held, AddAllAndSeal(to, sealed));
  if (!held) {
    for (const Addend& each : addends) each.update->Settle();
    TACIT_TRY(const bool holds, AddAllAndSeal(to, sealed));
    TACIT_CHECK(holds, "integers on the grid were verified");
  }
  contributions_ += counts.contributions;
  total_weight_ += counts.total_weight;
  return ByteSpan(sealed);
}

/// False when a piece of an update was beyond the bound; then, as after an error, the entries are as they were.
Result<bool> UnnoisedSum::AddAllAndSeal(const Sealing& to, std::span<std::uint8_t> sealed) {
  const Bytes head = HeadOf(to.counts);
  std::vector<GridMeasure> measures(to.addends.size());
  const auto add = [&](std::size_t at, std::span<std::uint8_t> block) {
    const std::span<std::uint8_t> entries = PutHead(head, at, block);
    const std::size_t first = FirstEntry(head, at, to.counts.width);
    to.counts.width == kNarrow ? AddNarrow(to.addends, first, entries, measures)
                               : AddWide(to.addends, first, entries, measures);
  };
  const Result<void> done = to.sealer.Seal(head.size() + values().size() * to.counts.width, add, to.context, sealed);
  bool holds = true;
  for (std::size_t i = 0; i < measures.size(); ++i) holds = holds && to.addends[i].update->Holds(measures[i]);
  if (done && holds) return true;
  Subtract(to.addends);
  if (!done) return std::unexpected(done.error());
  return false;
}

/// Adds the entries from `first` on that `block` has room for: what they add up to goes into the block and on to the
/// sum while it is in the cache.
void UnnoisedSum::AddNarrow(std::span<const Addend> addends, std::size_t first, std::span<std::uint8_t> block,
                            std::span<GridMeasure> measures) {
  const std::span<std::int32_t> sums = EntriesIn<std::int32_t>(block);
  const std::size_t count = std::min(sums.size(), options_.parameters - std::min(first, options_.parameters));
  const std::span<std::int32_t> vector = sums.first(count);
  std::ranges::fill(vector, 0);
  for (std::size_t i = 0; i < addends.size(); ++i) {
    ForPieces(*addends[i].update, first, count, measures[i], [&](std::span<const std::int32_t> piece, std::size_t at) {
      Kernels().add_narrow(piece, vector.data() + at);
    });
  }
  Kernels().add(vector, 1, values().data() + first);
  if (count == sums.size()) return;
  const std::int64_t bits = BitsOf(addends);
  sums.back() = static_cast<std::int32_t>(bits);
  values().back() += bits;
}

void UnnoisedSum::AddWide(std::span<const Addend> addends, std::size_t first, std::span<std::uint8_t> block,
                          std::span<GridMeasure> measures) {
  const std::span<std::int64_t> sums = EntriesIn<std::int64_t>(block);
  const std::size_t count = std::min(sums.size(), options_.parameters - std::min(first, options_.parameters));
  std::ranges::fill(sums, 0);
  for (std::size_t i = 0; i < addends.size(); ++i) {
    const auto weight = static_cast<std::int64_t>(addends[i].weight);
    ForPieces(*addends[i].update, first, count, measures[i], [&](std::span<const std::int32_t> piece, std::size_t at) {
      Kernels().add(piece, weight, sums.data() + at);
    });
  }
  if (count < sums.size()) sums.back() = BitsOf(addends);
  for (std::size_t i = 0; i < sums.size(); ++i) values()[first + i] += sums[i];
}

void UnnoisedSum::Subtract(std::span<const Addend> addends) {
  GridMeasure unused;
  for (const Addend& each : addends) {
    const std::int64_t weight = -static_cast<std::int64_t>(each.weight);
    ForPieces(*each.update, 0, options_.parameters, unused, [&](std::span<const std::int32_t> piece, std::size_t at) {
      Kernels().add(piece, weight, values().data() + at);
    });
  }
  if (options_.bit_steps > 0) values().back() -= BitsOf(addends);
}

// ---- Sealed ----

/// What stands before the entries.
Bytes UnnoisedSum::HeadOf(const Counts& counts) const {
  Bytes head = ByteWriter()
                   .Raw(SerialisedOptions(options_))
                   .U64(counts.contributions)
                   .U64(counts.total_weight)
                   .U64(counts.width)
                   .bytes();
  head.resize((head.size() + kHeadUnit - 1) / kHeadUnit * kHeadUnit);
  return head;
}

Result<ByteSpan> UnnoisedSum::Seal(const Sealer& sealer, ByteSpan context, AlignedBuffer& room) const {
  const bool fits = total_weight_ <= kLargestNarrow / LargestOfOne(options_);
  const Counts counts{.contributions = contributions_, .total_weight = total_weight_, .width = fits ? kNarrow : kWide};
  const Bytes head = HeadOf(counts);
  const std::size_t plaintext = head.size() + values().size() * counts.width;
  const std::span<std::uint8_t> sealed = room.AtLeast(sealer.SealedSize(plaintext));
  const auto copy = [&](std::size_t at, std::span<std::uint8_t> block) {
    const std::span<std::uint8_t> entries = PutHead(head, at, block);
    const std::int64_t* const from = values().data() + FirstEntry(head, at, counts.width);
    if (fits) {
      const std::span<std::int32_t> narrow = EntriesIn<std::int32_t>(entries);
      for (std::size_t i = 0; i < narrow.size(); ++i) narrow[i] = static_cast<std::int32_t>(from[i]);
    } else {
      std::memcpy(entries.data(), from, entries.size());
    }
  };
  TACIT_TRY_VOID(sealer.Seal(plaintext, copy, context, sealed));
  return ByteSpan(sealed);
}

/// A sealed sum while it is read.
struct UnnoisedSum::Part {
  Counts counts;
  std::size_t sealed = 0;  ///< Bytes of all of it.
  std::size_t head = 0;    ///< Of what stands before the entries.
  std::size_t moved = 0;   ///< Entries so far.
};

Result<void> UnnoisedSum::AddSealed(const Sealer& sealer, ByteSpan sealed, ByteSpan context) {
  return Move(sealer, sealed, context, Direction::kIn);
}

Result<void> UnnoisedSum::TakeBackSealed(const Sealer& sealer, ByteSpan sealed, ByteSpan context) {
  return Move(sealer, sealed, context, Direction::kOut);
}

// Each block is moved while it is in the cache, long before the seal has said that it is ours: where it does not, what
// was moved is moved back.
Result<void> UnnoisedSum::Move(const Sealer& sealer, ByteSpan sealed, ByteSpan context, Direction direction) {
  Part part{.counts = {}, .sealed = sealed.size()};
  Result<void> sound;
  Result<void> opened = sealer.Open(sealed, context, [&](std::size_t at, ByteSpan block) {
    if (sound && at == 0) sound = Begin(part, sealer, block, direction);
    if (sound) sound = MoveBlock(part, block.subspan(at == 0 ? part.head : 0), direction);
  });
  if (opened && sound && part.moved < values().size()) sound = NotASum("has the wrong size");
  if (opened && sound) {
    Count(part.counts, direction);
    return {};
  }
  MoveBack(part, sealer, sealed, context, direction);
  return opened ? sound : opened;
}

/// Reads what stands before the entries, and whether they may be moved.
Result<void> UnnoisedSum::Begin(Part& part, const Sealer& sealer, ByteSpan block, Direction direction) const {
  const std::size_t before = SerialisedOptions(options_).size();
  const std::size_t head_size = HeadOf(Counts()).size();
  if (block.size() < head_size) return NotASum("has the wrong size");
  const Counts counts{.contributions = ReadU64(block.subspan(before)),
                      .total_weight = ReadU64(block.subspan(before + sizeof(std::uint64_t))),
                      .width = ReadU64(block.subspan(before + 2 * sizeof(std::uint64_t)))};
  const Bytes head = HeadOf(counts);
  if (!std::ranges::equal(head, block.first(head.size()))) return NotASum("belongs to another round, grid or model");
  if ((counts.width != kNarrow && counts.width != kWide) ||
      part.sealed != sealer.SealedSize(head.size() + values().size() * counts.width)) {
    return NotASum("has the wrong size");
  }
  TACIT_TRY_VOID(CheckCounts(counts, direction));
  part.counts = counts;
  part.head = head.size();
  return {};
}

// The seal says that the bytes are ours; this, and MoveBlock, keep a defect elsewhere from becoming a sum whose bounds
// do not hold.
Result<void> UnnoisedSum::CheckCounts(const Counts& counts, Direction direction) const {
  const bool weights_fit = counts.total_weight <= LargestTotalWeight(options_) &&
                           counts.contributions <= counts.total_weight &&
                           (options_.mechanism == Mechanism::kNone || counts.contributions == counts.total_weight);
  if (!weights_fit) return NotASum("counts its contributions wrongly");
  if (direction == Direction::kIn) return CheckRoom(counts.total_weight);
  if (counts.contributions > contributions_ || counts.total_weight > total_weight_)
    return NotASum("is not part of this sum");
  return {};
}

Result<void> UnnoisedSum::MoveBlock(Part& part, ByteSpan block, Direction direction) {
  const auto bound = static_cast<std::int64_t>(part.counts.total_weight * LargestOfOne(options_));
  const bool narrow = part.counts.width == kNarrow;
  if (!(narrow ? WithinBound<std::int32_t>(block, bound) : WithinBound<std::int64_t>(block, bound)))
    return NotASum("holds an entry that its contributions cannot have made");
  MoveEntries(part.counts.width, part.moved, block, direction);
  part.moved += block.size() / part.counts.width;
  return {};
}

void UnnoisedSum::MoveEntries(std::size_t width, std::size_t first, ByteSpan block, Direction direction) {
  const std::int64_t sign = direction == Direction::kIn ? 1 : -1;
  std::int64_t* const to = values().data() + first;
  if (width == kNarrow) return Kernels().add(EntriesOf<std::int32_t>(block), sign, to);
  const std::span<const std::int64_t> entries = EntriesOf<std::int64_t>(block);
  for (std::size_t i = 0; i < entries.size(); ++i) to[i] += sign * entries[i];
}

/// Takes the moves of a part that did not open back: the same bytes open to the same entries.
void UnnoisedSum::MoveBack(const Part& part, const Sealer& sealer, ByteSpan sealed, ByteSpan context,
                           Direction direction) {
  if (part.moved == 0) return;
  const Direction back = direction == Direction::kIn ? Direction::kOut : Direction::kIn;
  std::size_t left = part.moved;
  [[maybe_unused]] const Result<void> failed_before = sealer.Open(sealed, context, [&](std::size_t at, ByteSpan block) {
    const ByteSpan entries = block.subspan(at == 0 ? part.head : 0);
    const ByteSpan moved = entries.first(std::min(entries.size(), left * part.counts.width));
    MoveEntries(part.counts.width, part.moved - left, moved, back);
    left -= moved.size() / part.counts.width;
  });
  TACIT_CHECK(left == 0, "bytes that were read once are read again");
}

void UnnoisedSum::Count(const Counts& counts, Direction direction) {
  if (direction == Direction::kIn) {
    contributions_ += counts.contributions;
    total_weight_ += counts.total_weight;
  } else {
    contributions_ -= counts.contributions;
    total_weight_ -= counts.total_weight;
  }
}

}  // namespace tacit::dp
