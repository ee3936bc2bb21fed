#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/result.h"
#include "server/api/context.h"

namespace tacit::api {

/// An update as far as it decides how much memory it takes.
struct UpdateForm {
  std::size_t parameters = 0;
  std::uint32_t values = 0;            ///< Of a sparse update; 0 for one of all parameters.
  bool may_travel_compressed = false;  ///< Any update of its task.
};

/// What such an update takes while it comes in, however little of it travels. Where a task takes compressed updates,
/// each takes what unpacking does: which of them are compressed depends on the data, and how much memory is in use is
/// in the metrics.
/// Errors: kTooLarge for more than can ever be had, with the limit.
Result<UploadMemory::Wanted> MemoryFor(const Context& context, const UpdateForm& form);

}  // namespace tacit::api
