#include "server/simulate/workers.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace tacit::simulate {

void ForEach(Workload load, const std::function<void(std::size_t worker, std::size_t index)>& work) {
  std::atomic<std::size_t> next = 0;
  const auto take = [&](std::size_t worker) {
    for (std::size_t index = next++; index < load.count; index = next++) work(worker, index);
  };
  const std::size_t threads = std::clamp<std::size_t>(load.count, 1, std::max<std::size_t>(load.threads, 1));
  std::vector<std::jthread> others;
  others.reserve(threads - 1);
  for (std::size_t worker = 1; worker < threads; ++worker) others.emplace_back(take, worker);
  take(0);
}

}  // namespace tacit::simulate
