#include "common/graph/file.h"

#include <algorithm>
#include <cstring>

#include <gmock/gmock.h>

#include "tests/support/matchers.h"
#include "tests/unit/graph/samples.h"

namespace tacit::graph {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using testing::Varied;

AlignedBuffer FileOf(const OwnedGraph& model) {
  return Serialise({.graph = model.graph, .weights = model.bytes()});
}

AlignedBuffer CopyOf(ByteSpan bytes) {
  AlignedBuffer copy(bytes.size());
  if (!bytes.empty()) std::memcpy(copy.data(), bytes.data(), bytes.size());
  return copy;
}

template <typename T>
void Put(AlignedBuffer& file, std::size_t at, T number) {
  std::memcpy(file.data() + at, &number, sizeof number);
}

TEST(GraphFile, RoundTripsGraphAndWeightsWithoutCopyingThem) {
  const OwnedGraph model = Varied();
  const AlignedBuffer file = FileOf(model);
  const auto parsed = Parse(file.bytes());
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(parsed->graph, model.graph);
  EXPECT_TRUE(std::ranges::equal(parsed->weights, model.bytes()));
  EXPECT_EQ(parsed->weights.data() + parsed->weights.size(), file.data() + file.size());
}

TEST(GraphFile, RefusesEveryTruncation) {
  const AlignedBuffer file = FileOf(Varied());
  for (std::size_t size = 0; size < file.size(); ++size) {
    EXPECT_THAT(Parse(file.bytes().first(size)), IsError(ErrorCode::kMalformed)) << size;
  }
}

// Of what stands before the weights, nothing can be changed without being another graph or no graph at all.
TEST(GraphFile, HasOneReadingForEveryByte) {
  const OwnedGraph model = Varied();
  const AlignedBuffer file = FileOf(model);
  const std::size_t structure_end = file.size() - model.weights.size();
  for (std::size_t at = 0; at < structure_end; ++at) {
    for (const int change : {0x01, 0x80, 0xFF}) {
      AlignedBuffer changed = CopyOf(file.bytes());
      changed.data()[at] = static_cast<std::uint8_t>(file.data()[at] ^ change);
      const auto parsed = Parse(changed.bytes());
      if (!parsed) continue;
      EXPECT_NE(parsed->graph, model.graph) << at;
      EXPECT_TRUE(std::ranges::equal(Serialise(*parsed).bytes(), changed.bytes())) << at;
    }
  }
}

TEST(GraphFile, NamesTheByteThatIsWrong) {
  const OwnedGraph model = Varied();
  const auto changed = [&](std::size_t at, std::uint64_t number) {
    AlignedBuffer file = FileOf(model);
    Put(file, at, number);
    return Parse(file.bytes());
  };
  EXPECT_THAT(changed(0, 7), IsErrorSaying(ErrorCode::kMalformed, "byte 0: is no graph file"));
  EXPECT_THAT(changed(8, 2), IsErrorSaying(ErrorCode::kMalformed, "version 2"));
  EXPECT_THAT(changed(32, 1ULL << 40U), IsErrorSaying(ErrorCode::kMalformed, "byte 32"));
  EXPECT_THAT(changed(40, 0), IsErrorSaying(ErrorCode::kMalformed, "byte 40"));
  EXPECT_THAT(changed(48, UINT64_MAX), IsErrorSaying(ErrorCode::kMalformed, "byte 48"));
  EXPECT_THAT(changed(56, 1), IsErrorSaying(ErrorCode::kMalformed, "byte 28"));
}

TEST(GraphFile, TakesNoMemoryForCountsThatTheFileCannotHold) {
  AlignedBuffer file = FileOf(Varied());
  Put(file, 12, UINT32_MAX);
  EXPECT_THAT(Parse(file.bytes()), IsError(ErrorCode::kMalformed));
  file = FileOf(Varied());
  Put(file, 20, UINT32_MAX);
  EXPECT_THAT(Parse(file.bytes()), IsError(ErrorCode::kMalformed));
}

TEST(GraphFile, RefusesBytesAtAnAddressThatKernelsCannotUse) {
  const AlignedBuffer file = FileOf(Varied());
  AlignedBuffer shifted(file.size() + 8);
  std::memcpy(shifted.data() + 8, file.data(), file.size());
  EXPECT_THAT(Parse(shifted.bytes().subspan(8)), IsErrorSaying(ErrorCode::kInvalidArgument, "multiple of 64"));
}

TEST(GraphFile, RefusesAGraphThatCheckRefuses) {
  OwnedGraph model = Varied();
  model.graph.values[model.graph.nodes[0].output].shape[1] = 3;
  EXPECT_THAT(Parse(FileOf(model).bytes()), IsErrorSaying(ErrorCode::kInvalidArgument, "(Conv)"));
}

}  // namespace
}  // namespace tacit::graph
