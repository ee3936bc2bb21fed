#pragma once

#include <cstdint>

#include "common/base/result.h"

namespace tacit {

/// Remembers the highest version of one thing (a model on a device) that was ever taken into use, where going back to
/// an earlier state of the disk does not make it forget. How strong that is, the implementation says: a TPM counter
/// cannot be set back, a file can be, together with all else. Threads: one at a time.
class RollbackGuard {
 public:
  virtual ~RollbackGuard() = default;

  /// The highest version recorded so far; 0 where none was. Versions that are recorded begin with 1.
  /// Errors: kUnavailable where what keeps it does not answer; kDataLoss where what it keeps was tampered with. Neither
  /// may be taken for "none".
  virtual Result<std::uint64_t> Highest() = 0;

  /// Records `version` durably, once it is in use. Recording the highest again changes nothing.
  /// Errors: as Highest; kConflict for a version below the highest, which stays.
  virtual Result<void> Record(std::uint64_t version) = 0;
};

}  // namespace tacit
