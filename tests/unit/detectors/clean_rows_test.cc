#include "server/detectors/clean_rows.h"

#include <gtest/gtest.h>

#include "server/task/detectors.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/detectors/rows.h"

namespace tacit::detectors {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;

class CleanRowsTest : public ::testing::Test {
 protected:
  Result<LoadedRows> Load(const std::string& text) {
    testing::WriteText(file_, text);
    return LoadCleanRows(file_, model_);
  }

  const model::ModelSpec model_ = testing::SomeModel();
  ::tacit::testing::TempDirectory directory_;
  const std::filesystem::path file_ = directory_ / "rows.csv";
};

TEST_F(CleanRowsTest, HaveAColumnForEachInputAndPerhapsTheClass) {
  const auto plain = Load("1,2,3,4\n-1,0.5,1e2,0\n");
  ASSERT_THAT(plain, IsOk());
  EXPECT_EQ(plain->x, (std::vector<float>{1, 2, 3, 4, -1, 0.5, 100, 0}));
  EXPECT_TRUE(plain->labels.empty());
  const auto labelled = Load("a,b,c,d,class\n1,2,3,4,2\n5,6,7,8,0\n");
  ASSERT_THAT(labelled, IsOk());
  EXPECT_EQ(labelled->x.size(), 8U);
  EXPECT_EQ(labelled->labels, (std::vector<std::uint32_t>{2, 0}));
}

TEST_F(CleanRowsTest, RefuseWhatIsNoRowOfTheModel) {
  EXPECT_THAT(Load("1,2,3\n"), IsErrorSaying(ErrorCode::kInvalidArgument, "these have 3"));
  EXPECT_THAT(Load("1,2,3,4,5,6\n"), IsErrorSaying(ErrorCode::kInvalidArgument, "these have 6"));
  EXPECT_THAT(Load("1,2,,4\n"), IsErrorSaying(ErrorCode::kMalformed, "needs a number"));
  EXPECT_THAT(Load("1,2,3,1e39\n"), IsErrorSaying(ErrorCode::kMalformed, "needs a number"));
  for (const char* label : {"3", "-1", "0.5"})
    EXPECT_THAT(Load("1,2,3,4," + std::string(label) + "\n"), IsErrorSaying(ErrorCode::kMalformed, "from 0 to 2"));
  EXPECT_THAT(LoadCleanRows(directory_ / "nothing", model_), IsError(ErrorCode::kNotFound));
}

TEST_F(CleanRowsTest, AreNoMoreThanFitIntoMemory) {
  const auto wide = *model::ModelSpec::Create({.inputs = 1U << 16U, .hidden = {}, .classes = 2});
  std::string row = "1";
  for (int i = 1; i < 1 << 16; ++i) row += ",1";
  std::string text;
  for (std::size_t i = 0; i <= task::kMostCleanNumbers >> 16U; ++i) text += row + "\n";
  testing::WriteText(file_, text);
  EXPECT_THAT(LoadCleanRows(file_, wide), IsErrorSaying(ErrorCode::kTooLarge, "leave some rows out"));
}

}  // namespace
}  // namespace tacit::detectors
