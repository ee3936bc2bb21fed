#pragma once

#include <cstdint>
#include <string_view>

namespace tacit::dp {

/// How the weight of an update falls with its staleness: the number of models that were published since the one that it
/// was trained from. Source: Xie, Koyejo, Gupta 2019, "Asynchronous federated optimization"; Nguyen et al. 2022,
/// "Federated learning with buffered asynchronous aggregation".
enum class StalenessDiscount : std::uint8_t {
  kNone,         ///< All weigh the same.
  kInverseSqrt,  ///< 1 / sqrt(1 + staleness).
  kInverse,      ///< 1 / (1 + staleness).
};
/// `none`, `inverse_sqrt` or `inverse`.
std::string_view NameOf(StalenessDiscount discount);

/// The largest staleness that has a share.
inline constexpr std::uint32_t kMaxStaleness = 100;

/// A part of an update, or all of it. Units: 1/65536.
class Share {
 public:
  static constexpr std::uint32_t kWhole = 1U << 16U;

  /// The discount's weight, rounded down; the same on every machine, since no floating point is left in it.
  /// Shape: `staleness` is at most kMaxStaleness.
  static Share Of(StalenessDiscount discount, std::uint32_t staleness);

  [[nodiscard]] std::uint32_t parts() const { return parts_; }
  [[nodiscard]] double value() const { return static_cast<double>(parts_) / kWhole; }
  /// `entry` times the share, rounded toward zero.
  /// Guarantee: never larger in magnitude than `entry`, so that no norm grows.
  [[nodiscard]] std::int32_t ApplyTo(std::int32_t entry) const {
    return static_cast<std::int32_t>(std::int64_t{entry} * parts_ / kWhole);
  }
  bool operator==(const Share&) const = default;

 private:
  explicit Share(std::uint32_t parts) : parts_(parts) {}
  std::uint32_t parts_;  // 1 to kWhole
};

}  // namespace tacit::dp
