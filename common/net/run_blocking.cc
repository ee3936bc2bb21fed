#include "common/net/run_blocking.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>

namespace tacit::net::internal {

void RunBlockingVoid(const asio::any_io_executor& executor, Task<void> task) {
  asio::co_spawn(executor, std::move(task), asio::use_future).get();
}

}  // namespace tacit::net::internal
