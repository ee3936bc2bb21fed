#include "edge_agent/protect/start_pages.h"

#include <cstddef>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace tacit::protect {
namespace {

// Pages of files that are mapped in this process. Source: proc(5), statm: the third number.
std::size_t MappedPages() {
  std::ifstream file("/proc/self/statm");
  std::size_t size = 0;
  std::size_t resident = 0;
  std::size_t mapped = 0;
  file >> size >> resident >> mapped;
  return mapped;
}

TEST(LetGoOfStartPages, LeavesAProgramThatRunsOnWithFewerPages) {
  const std::size_t before = MappedPages();
  ASSERT_GT(before, 0U);
  LetGoOfStartPages();
  EXPECT_LT(MappedPages(), before);
  // The program, its libraries, and what the linker wrote into them are as they were.
  LetGoOfStartPages();
  EXPECT_EQ(std::to_string(12.5), "12.500000");
}

}  // namespace
}  // namespace tacit::protect
