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

/// How much a sealed sum holds, and in how many bytes each entry.
struct Counts {
  std::uint64_t contributions = 0;
  std::uint64_t total_weight = 0;
  std::size_t width = kWide;
};

/// What stands before the entries.
Bytes HeadOf(const SumOptions& options, const Counts& counts) {
  Bytes head = ByteWriter()
                   .Raw(SerialisedOptions(options))
                   .U64(counts.contributions)
                   .U64(counts.total_weight)
                   .U64(counts.width)
                   .bytes();
  head.resize((head.size() + kHeadUnit - 1) / kHeadUnit * kHeadUnit);
  return head;
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
    : options_(std::move(options)), values_(options_.parameters + (options_.bit_steps > 0 ? 1 : 0)) {}
UnnoisedSum::~UnnoisedSum() {
  Wipe();
}

UnnoisedSum::UnnoisedSum(UnnoisedSum&& other) noexcept
    : options_(std::move(other.options_)),
      contributions_(std::exchange(other.contributions_, 0)),
      total_weight_(std::exchange(other.total_weight_, 0)),
      values_(std::exchange(other.values_, {})) {}

UnnoisedSum& UnnoisedSum::operator=(UnnoisedSum&& other) noexcept {
  if (this == &other) return *this;
  Wipe();
  options_ = std::move(other.options_);
  contributions_ = std::exchange(other.contributions_, 0);
  total_weight_ = std::exchange(other.total_weight_, 0);
  values_ = std::exchange(other.values_, {});
  return *this;
}

void UnnoisedSum::Wipe() {
  WipeMemory(values_.data(), values_.size() * sizeof(std::int64_t));
}

Result<void> UnnoisedSum::Add(std::span<const std::int32_t> grid) {
  if (options_.bit_steps > 0) return Fail(ErrorCode::kInvalidArgument, "the update comes without its clip bit");
  return AddVerified(grid, 1);
}

Result<void> UnnoisedSum::Add(std::span<const std::int32_t> grid, Fit fit) {
  if (options_.bit_steps == 0) return Fail(ErrorCode::kInvalidArgument, "the update comes with a clip bit");
  TACIT_TRY_VOID(AddVerified(grid, 1));
  values_.back() += BitOf(options_, fit);
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
  Kernels().add(grid, static_cast<std::int64_t>(weight), values_.data());
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
  const std::size_t size = sealer.SealedSize(HeadOf(options_, counts).size() + values_.size() * counts.width);
  if (room.size() < size) room = AlignedBuffer(size);
  const std::span<std::uint8_t> sealed = room.bytes().first(size);
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
  const Bytes head = HeadOf(options_, to.counts);
  std::vector<GridMeasure> measures(to.addends.size());
  const auto add = [&](std::size_t at, std::span<std::uint8_t> block) {
    const std::span<std::uint8_t> entries = PutHead(head, at, block);
    const std::size_t first = FirstEntry(head, at, to.counts.width);
    to.counts.width == kNarrow ? AddNarrow(to.addends, first, entries, measures)
                               : AddWide(to.addends, first, entries, measures);
  };
  const Result<void> done = to.sealer.Seal(head.size() + values_.size() * to.counts.width, add, to.context, sealed);
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
  const std::span<std::int32_t> sums(reinterpret_cast<std::int32_t*>(block.data()), block.size() / kNarrow);
  const std::size_t count = std::min(sums.size(), options_.parameters - std::min(first, options_.parameters));
  const std::span<std::int32_t> vector = sums.first(count);
  std::ranges::fill(vector, 0);
  for (std::size_t i = 0; i < addends.size(); ++i) {
    ForPieces(*addends[i].update, first, count, measures[i], [&](std::span<const std::int32_t> piece, std::size_t at) {
      Kernels().add_narrow(piece, vector.data() + at);
    });
  }
  Kernels().add(vector, 1, values_.data() + first);
  if (count == sums.size()) return;
  const std::int64_t bits = BitsOf(addends);
  sums.back() = static_cast<std::int32_t>(bits);
  values_.back() += bits;
}

void UnnoisedSum::AddWide(std::span<const Addend> addends, std::size_t first, std::span<std::uint8_t> block,
                          std::span<GridMeasure> measures) {
  const std::span<std::int64_t> sums(reinterpret_cast<std::int64_t*>(block.data()), block.size() / kWide);
  const std::size_t count = std::min(sums.size(), options_.parameters - std::min(first, options_.parameters));
  std::ranges::fill(sums, 0);
  for (std::size_t i = 0; i < addends.size(); ++i) {
    const auto weight = static_cast<std::int64_t>(addends[i].weight);
    ForPieces(*addends[i].update, first, count, measures[i], [&](std::span<const std::int32_t> piece, std::size_t at) {
      Kernels().add(piece, weight, sums.data() + at);
    });
  }
  if (count < sums.size()) sums.back() = BitsOf(addends);
  for (std::size_t i = 0; i < sums.size(); ++i) values_[first + i] += sums[i];
}

void UnnoisedSum::Subtract(std::span<const Addend> addends) {
  GridMeasure unused;
  for (const Addend& each : addends) {
    const std::int64_t weight = -static_cast<std::int64_t>(each.weight);
    ForPieces(*each.update, 0, options_.parameters, unused, [&](std::span<const std::int32_t> piece, std::size_t at) {
      Kernels().add(piece, weight, values_.data() + at);
    });
  }
  if (options_.bit_steps > 0) values_.back() -= BitsOf(addends);
}

// ---- Sealed ----

Result<Bytes> UnnoisedSum::Seal(const Sealer& sealer, ByteSpan context) const {
  const Bytes head = HeadOf(options_, {.contributions = contributions_, .total_weight = total_weight_, .width = kWide});
  const std::size_t plaintext = head.size() + values_.size() * kWide;
  Bytes sealed(sealer.SealedSize(plaintext));
  const auto copy = [&](std::size_t at, std::span<std::uint8_t> block) {
    const std::span<std::uint8_t> entries = PutHead(head, at, block);
    std::memcpy(entries.data(), values_.data() + FirstEntry(head, at, kWide), entries.size());
  };
  TACIT_TRY_VOID(sealer.Seal(plaintext, copy, context, sealed));
  return sealed;
}

/// A sum in clear, overwritten at the end.
class UnnoisedSum::Opened {
 public:
  Opened(Bytes plaintext, std::size_t head) : plaintext_(std::move(plaintext)), head_(head) {}
  Opened(Opened&&) noexcept = default;
  Opened& operator=(Opened&&) = delete;
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
  ~Opened() { WipeMemory(plaintext_.data(), plaintext_.size()); }

  [[nodiscard]] ByteSpan bytes() const { return plaintext_; }
  void set_counts(const Counts& counts) { counts_ = counts; }
  [[nodiscard]] const Counts& counts() const { return counts_; }
  [[nodiscard]] std::int64_t operator[](std::size_t entry) const {
    const std::uint8_t* const at = plaintext_.data() + head_ + entry * counts_.width;
    if (counts_.width == kWide) return ReadAs<std::int64_t>(at);
    return ReadAs<std::int32_t>(at);
  }

 private:
  template <typename T>
  static T ReadAs(const std::uint8_t* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
  }

  Bytes plaintext_;
  std::size_t head_;
  Counts counts_;
};

Result<UnnoisedSum::Opened> UnnoisedSum::Open(const Sealer& sealer, ByteSpan sealed, ByteSpan context) const {
  TACIT_TRY(Bytes plaintext, sealer.Open(sealed, context));
  const std::size_t before = SerialisedOptions(options_).size();
  const std::size_t head_size = HeadOf(options_, {}).size();
  Opened opened(std::move(plaintext), head_size);
  const ByteSpan bytes = opened.bytes();
  if (bytes.size() < head_size) return NotASum("has the wrong size");
  Counts counts{.contributions = ReadU64(bytes.subspan(before)),
                .total_weight = ReadU64(bytes.subspan(before + sizeof(std::uint64_t))),
                .width = ReadU64(bytes.subspan(before + 2 * sizeof(std::uint64_t)))};
  const Bytes head = HeadOf(options_, counts);
  if (!std::ranges::equal(head, bytes.first(head.size()))) return NotASum("belongs to another round, grid or model");
  if ((counts.width != kNarrow && counts.width != kWide) ||
      bytes.size() != head.size() + values_.size() * counts.width) {
    return NotASum("has the wrong size");
  }
  opened.set_counts(counts);
  TACIT_TRY_VOID(CheckBounds(opened));
  return opened;
}

// The seal already says that the bytes are ours; this keeps a defect elsewhere from becoming a sum whose bounds do not
// hold.
Result<void> UnnoisedSum::CheckBounds(const Opened& part) const {
  const Counts& counts = part.counts();
  const bool weights_fit = counts.total_weight <= LargestTotalWeight(options_) &&
                           counts.contributions <= counts.total_weight &&
                           (options_.mechanism == Mechanism::kNone || counts.contributions == counts.total_weight);
  if (!weights_fit) return NotASum("counts its contributions wrongly");
  const auto bound = static_cast<std::int64_t>(counts.total_weight * LargestOfOne(options_));
  for (std::size_t i = 0; i < values_.size(); ++i) {
    if (part[i] > bound || part[i] < -bound) return NotASum("holds an entry that its contributions cannot have made");
  }
  return {};
}

Result<void> UnnoisedSum::AddSealed(const Sealer& sealer, ByteSpan sealed, ByteSpan context) {
  TACIT_TRY(const Opened part, Open(sealer, sealed, context));
  TACIT_TRY_VOID(CheckRoom(part.counts().total_weight));
  for (std::size_t i = 0; i < values_.size(); ++i) values_[i] += part[i];
  contributions_ += part.counts().contributions;
  total_weight_ += part.counts().total_weight;
  return {};
}

Result<void> UnnoisedSum::TakeBackSealed(const Sealer& sealer, ByteSpan sealed, ByteSpan context) {
  TACIT_TRY(const Opened part, Open(sealer, sealed, context));
  if (part.counts().contributions > contributions_ || part.counts().total_weight > total_weight_)
    return NotASum("is not part of this sum");
  for (std::size_t i = 0; i < values_.size(); ++i) values_[i] -= part[i];
  contributions_ -= part.counts().contributions;
  total_weight_ -= part.counts().total_weight;
  return {};
}

}  // namespace tacit::dp
