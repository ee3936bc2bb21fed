#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "common/base/clock.h"

namespace tacit::serving {

/// What one identity may ask for: of each in a minute, refilled steadily, and so much at once. 0: no limit.
struct QuotaLimits {
  std::uint64_t requests_per_minute = 0;
  std::uint64_t rows_per_minute = 0;
  std::uint64_t bytes_per_minute = 0;  ///< Of requests' bodies.
  std::size_t concurrent = 0;          ///< Requests under way.
  std::size_t max_identities = 1024;   ///< That are remembered; strangers are refused while all of them are busy.
};

/// Why somebody has to come back later.
struct QuotaRefusal {
  std::string reason;
  Millis retry_after{1000};
};

/// Counts, by identity, what is asked of a model: the budget that a copy of the model is made slow by.
/// Threads: any. Privacy: knows who asks how much, and tells nobody.
class Quotas {
 public:
  /// `clock` outlives it, and it outlives its places.
  Quotas(QuotaLimits limits, const Clock& clock) : limits_(limits), clock_(clock) {}

  /// One request under way; gives its place back when it ends.
  class Place {
   public:
    Place(Quotas& quotas, std::string identity) : quotas_(&quotas), identity_(std::move(identity)) {}
    Place(Place&& other) noexcept
        : quotas_(std::exchange(other.quotas_, nullptr)), identity_(std::move(other.identity_)) {}
    Place& operator=(Place&&) = delete;
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() {
      if (quotas_ != nullptr) quotas_->Leave(identity_);
    }

    /// That the request has so many rows, once that is known.
    std::expected<void, QuotaRefusal> TakeRows(std::uint64_t rows);

   private:
    Quotas* quotas_;
    std::string identity_;
  };

  /// A request with a body of so many bytes. What is refused costs nothing.
  std::expected<Place, QuotaRefusal> Admit(std::string_view identity, std::uint64_t body_bytes);

 private:
  struct Used {
    double requests = 0;
    double rows = 0;
    double bytes = 0;
    std::size_t under_way = 0;
    SteadyTime at{};
  };
  Used* Find(const std::string& identity);
  void Refill(Used& used) const;
  void ForgetIdle();
  void Leave(const std::string& identity);

  const QuotaLimits limits_;
  const Clock& clock_;
  std::mutex mutex_;
  std::unordered_map<std::string, Used> used_;  // guarded by mutex_
};

}  // namespace tacit::serving
