#include "dp/sum.h"

#include <cstring>
#include <string>
#include <utility>

#include <Eigen/Core>

#include "dp/clip.h"
#include "dp/vector_kernels.h"
#include "dp/wipe.h"

namespace tacit::dp {
namespace {

using Values = Eigen::Map<Eigen::Array<std::int64_t, Eigen::Dynamic, 1>>;
using ConstValues = Eigen::Map<const Eigen::Array<std::int64_t, Eigen::Dynamic, 1>>;

constexpr std::uint64_t kLargestEntry = std::uint64_t{1} << 62U;

std::uint64_t LargestOfOne(const SumOptions& options) {
  return options.entry_bound > 0 ? options.entry_bound : options.grid_radius.value();
}

std::uint64_t LargestTotalWeight(const SumOptions& options) {
  return kLargestEntry / LargestOfOne(options);
}

Bytes SerialisedOptions(const SumOptions& options) {
  ByteWriter writer;
  writer.Text("tacit-sum/3").Text(options.round.task.str()).U64(options.round.round);
  writer.U8(static_cast<std::uint8_t>(options.mechanism)).U32(options.grid_radius.value()).U64(options.parameters);
  writer.U32(options.bit_steps).U32(options.entry_bound);
  return std::move(writer).Take();
}

std::uint64_t ReadU64(ByteSpan bytes) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
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
  const auto bit = static_cast<std::int64_t>(options_.bit_steps);
  values_.back() += fit == Fit::kWithinClip ? bit : -bit;
  return {};
}

Result<void> UnnoisedSum::AddWeighted(std::span<const std::int32_t> grid, std::uint64_t weight) {
  if (options_.mechanism != Mechanism::kNone) {
    return Fail(ErrorCode::kInvalidArgument,
                "weights are for mechanism none: under privacy every device has weight one");
  }
  if (weight == 0) return Fail(ErrorCode::kInvalidArgument, "an update of weight 0");
  return AddVerified(grid, weight);
}

Result<void> UnnoisedSum::AddVerified(std::span<const std::int32_t> grid, std::uint64_t weight) {
  if (grid.size() != options_.parameters) {
    return Fail(ErrorCode::kInvalidArgument, "the update has " + std::to_string(grid.size()) +
                                                 " entries and the model has " + std::to_string(options_.parameters));
  }
  TACIT_TRY_VOID(CheckRoom(weight));
  TACIT_TRY_VOID(options_.entry_bound > 0 ? VerifyEntries(grid, options_.entry_bound)
                                          : VerifyGrid(grid, options_.grid_radius, NormOf(options_.mechanism)));
  Kernels().add(grid, static_cast<std::int64_t>(weight), values_.data());
  ++contributions_;
  total_weight_ += weight;
  return {};
}

// Keeps total_weight_ times the largest verified entry, and with it every entry of the sum, at most 2^62.
Result<void> UnnoisedSum::CheckRoom(std::uint64_t weight) const {
  const std::uint64_t limit = LargestTotalWeight(options_);
  if (weight <= limit - total_weight_) return {};
  return Fail(ErrorCode::kTooLarge, "the sum could overflow: the weights would exceed " + std::to_string(limit) +
                                        "; choose a smaller grid radius or cap the example counts lower");
}

Result<void> UnnoisedSum::Merge(const UnnoisedSum& other) {
  if (options_ != other.options_)
    return Fail(ErrorCode::kConflict, "partial sums of different rounds, mechanisms, grids or models cannot be merged");
  if (this == &other) return Fail(ErrorCode::kConflict, "a partial sum cannot be merged with itself");
  TACIT_TRY_VOID(CheckRoom(other.total_weight_));
  const auto size = static_cast<Eigen::Index>(values_.size());
  Values(values_.data(), size) += ConstValues(other.values_.data(), size);
  contributions_ += other.contributions_;
  total_weight_ += other.total_weight_;
  return {};
}

Result<Bytes> UnnoisedSum::Seal(const Sealer& sealer, ByteSpan context) const {
  Bytes plaintext = Serialise();
  Result<Bytes> sealed = sealer.Seal(plaintext, context);
  WipeMemory(plaintext.data(), plaintext.size());
  return sealed;
}

// One allocation of the final size: a buffer that grew would leave copies behind.
Bytes UnnoisedSum::Serialise() const {
  Bytes bytes = SerialisedOptions(options_);
  const std::size_t head = bytes.size();
  const std::size_t body = values_.size() * sizeof(std::int64_t);
  bytes.resize(head + 2 * sizeof(std::uint64_t) + body);
  std::memcpy(bytes.data() + head, &contributions_, sizeof contributions_);
  std::memcpy(bytes.data() + head + sizeof contributions_, &total_weight_, sizeof total_weight_);
  std::memcpy(bytes.data() + bytes.size() - body, values_.data(), body);
  return bytes;
}

Result<UnnoisedSum> UnnoisedSum::Unseal(const Sealer& sealer, ByteSpan sealed, ByteSpan context,
                                        const SumOptions& expected) {
  TACIT_TRY(UnnoisedSum sum, Create(expected));
  TACIT_TRY(Bytes plaintext, sealer.Open(sealed, context));
  const Result<void> parsed = sum.Parse(plaintext);
  WipeMemory(plaintext.data(), plaintext.size());
  TACIT_TRY_VOID(parsed);
  return sum;
}

Result<void> UnnoisedSum::Parse(ByteSpan plaintext) {
  const Bytes head = SerialisedOptions(options_);
  const std::size_t body = values_.size() * sizeof(std::int64_t);
  if (plaintext.size() != head.size() + 2 * sizeof(std::uint64_t) + body) return NotASum("has the wrong size");
  if (std::memcmp(plaintext.data(), head.data(), head.size()) != 0)
    return NotASum("belongs to another round, grid or model");
  contributions_ = ReadU64(plaintext.subspan(head.size()));
  total_weight_ = ReadU64(plaintext.subspan(head.size() + sizeof(std::uint64_t)));
  std::memcpy(values_.data(), plaintext.data() + plaintext.size() - body, body);
  return CheckBounds();
}

// The seal already says that the bytes are ours; this keeps a defect elsewhere from becoming a sum whose bounds do not
// hold.
Result<void> UnnoisedSum::CheckBounds() const {
  const bool weights_fit = total_weight_ <= LargestTotalWeight(options_) && contributions_ <= total_weight_ &&
                           (options_.mechanism == Mechanism::kNone || contributions_ == total_weight_);
  if (!weights_fit) return NotASum("counts its contributions wrongly");
  const auto bound = static_cast<std::int64_t>(total_weight_ * LargestOfOne(options_));
  const ConstValues sum(values_.data(), static_cast<Eigen::Index>(values_.size()));
  if (sum.maxCoeff() > bound || sum.minCoeff() < -bound)
    return NotASum("holds an entry that its contributions cannot have made");
  return {};
}

}  // namespace tacit::dp
