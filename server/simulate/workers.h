#pragma once

#include <cstddef>
#include <functional>

namespace tacit::simulate {

/// How much there is to do, and on how many threads at once.
struct Workload {
  std::size_t count = 0;
  std::size_t threads = 1;
};

/// Calls `work(worker, index)` once for each index below `count`; `worker` is below `threads`, and no two calls at a
/// time have the same. Which worker an index comes to is chance: nothing that counts may depend on it.
/// Threads: returns when all are done.
void ForEach(Workload load, const std::function<void(std::size_t worker, std::size_t index)>& work);

}  // namespace tacit::simulate
