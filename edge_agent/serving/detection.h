#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "edge_agent/detect/policy.h"
#include "edge_agent/detect/tally.h"
#include "edge_agent/detect/watch.h"
#include "edge_agent/serving/batcher.h"
#include "edge_agent/serving/quotas.h"

namespace tacit::serving {

/// What the owner of a device is told when it happens: each at most once in a window for each asker.
struct DetectionEvent {
  enum class Kind : std::uint8_t {
    kExtraction,  ///< What an asker asks looks like a copy being made.
    kOverBudget,  ///< An asker's budget is used up.
    kDrift,       ///< A window of rows has drifted; each time.
  };
  Kind kind = Kind::kDrift;
  std::string asker;   ///< Nobody's: all askers together.
  std::string detail;  ///< Printable.
};

/// Does what the owner of a model wants done about what its detectors find, and counts it. Budgets are counted here,
/// and not in the worker: they outlive it, and the version that it served. Threads: any. Privacy: knows who asks how
/// much; an event names the asker, to the device's own log.
class Detection {
 public:
  using Listener = std::function<void(const DetectionEvent&)>;
  static constexpr std::size_t kMostAskers = 1024;  ///< That are told apart; later ones share one budget.

  /// `clock` outlives it; `listener` must not call it.
  Detection(const Clock& clock, Listener listener) : clock_(clock), listener_(std::move(listener)) {}

  /// Takes so many rows from the budgets, where there are some, before the model is asked. What is refused costs
  /// nothing.
  std::expected<void, QuotaRefusal> Admit(const detect::Policy& policy, std::string_view identity, std::uint64_t rows);

  /// What is to be done about the rows of an answer, once for each: the parameters of the answer, a JSON object or
  /// nothing; or, where it must not be given, why.
  std::expected<std::string, std::string> Decide(std::string_view identity, const BatchedAnswer& answer);

  /// But for what is known of the version and of workers, which are another's to count.
  [[nodiscard]] detect::Tally Counted() const;

 private:
  struct Asked {
    detect::SlidingCount rows;
    std::uint64_t last = 0;
    std::uint64_t alarmed = 0;  // the window after that in which it was told, from 1; as the next
    std::uint64_t spent = 0;
  };
  [[nodiscard]] std::uint64_t Seconds() const;
  Asked& Find(std::string_view identity, std::uint64_t window);
  void Count(const detect::Judgement& judgement, std::size_t first, std::size_t rows);
  void CountDrift(const detect::Judgement& judgement);
  void CountExtraction(std::string_view identity, detect::ExtractionReason reason, std::uint64_t window);

  const Clock& clock_;
  const Listener listener_;
  mutable std::mutex mutex_;  // guards what follows
  std::map<Digest128, Asked> askers_;
  Asked device_;
  detect::Tally tally_;
};

}  // namespace tacit::serving
