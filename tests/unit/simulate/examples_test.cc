#include "server/simulate/examples.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"

namespace tacit::simulate {
namespace {

using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::ElementsAre;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

std::vector<std::uint32_t> RowsOf(const Shares& shares) {
  std::vector<std::uint32_t> all;
  for (const auto& share : shares) all.insert(all.end(), share.begin(), share.end());
  return all;
}

// Rows of persons 7 and 3, in turn.
std::vector<std::uint32_t> TwoPeople(std::size_t rows) {
  std::vector<std::uint32_t> persons;
  for (std::size_t i = 0; i < rows; ++i) persons.push_back(i % 2 == 0 ? 7 : 3);
  return persons;
}

TEST(DealPeople, GivesOneDeviceAllOfAPersonWhereThereAreAsManyDevices) {
  const Shares shares = DealPeople(TwoPeople(6), 2);
  EXPECT_THAT(shares, ElementsAre(ElementsAre(1, 3, 5), ElementsAre(0, 2, 4)));
  EXPECT_THAT(DealPeople(TwoPeople(6), 1), ElementsAre(ElementsAre(1, 3, 5)));
}

TEST(DealPeople, DealsEachPersonRowByRow) {
  const Shares shares = DealPeople(TwoPeople(12), 6);
  EXPECT_THAT(shares, ElementsAre(ElementsAre(1, 7), ElementsAre(0, 6), ElementsAre(3, 9), ElementsAre(2, 8),
                                  ElementsAre(5, 11), ElementsAre(4, 10)));
}

TEST(DealPeople, SplitsNobodyFurtherThanTheLimitAndLeavesNoDeviceWithoutRows) {
  const Shares shares = DealPeople(TwoPeople(400), 2'000);
  EXPECT_THAT(shares, SizeIs(20));
  std::size_t rows = 0;
  for (const auto& share : shares) rows += share.size();
  EXPECT_EQ(rows, 400U);
  for (const auto& share : DealPeople(TwoPeople(5), 100)) EXPECT_FALSE(share.empty());
}

TEST(FleetExamples, GivesALargerFleetTheSharesAgain) {
  FleetExamples examples;
  examples.shares = {{1}, {2}, {3}};
  EXPECT_THAT(examples.ShareOf(0), ElementsAre(1));
  EXPECT_THAT(examples.ShareOf(5), ElementsAre(3));
}

TEST(LoadExamples, MakesTheSameSyntheticWindowsOnAnyNumberOfThreads) {
  const auto one = LoadExamples({.data = {}, .held_out = {}, .partition = {}, .devices = 5, .threads = 1});
  const auto three = LoadExamples({.data = {}, .held_out = {}, .partition = {}, .devices = 5, .threads = 3});
  ASSERT_THAT(one, IsOk());
  ASSERT_THAT(three, IsOk());
  EXPECT_EQ(one->rows.x, three->rows.x);
  EXPECT_THAT(one->shares, SizeIs(5));
  EXPECT_EQ(one->shares[1].front(), one->shares[0].size());
  std::size_t held_out = 0;
  for (const data::Dataset& piece : one->held_out) held_out += piece.rows;
  EXPECT_EQ(held_out, 2'000U);
}

class Images : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const std::string prefix : {"train", "t10k"}) {
      Write(prefix + "-images-idx3-ubyte", std::string({0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2}) + "abcdefgh");
      Write(prefix + "-labels-idx1-ubyte", {0, 0, 8, 1, 0, 0, 0, 4, 2, 0, 1, 0});
    }
  }
  void Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(directory_ / name, std::ios::binary) << bytes;
  }
  [[nodiscard]] Result<FleetExamples> Load(const std::string& partition, std::uint32_t classes = 3) const {
    return LoadExamples({.data = directory_.path(),
                         .held_out = {},
                         .partition = partition.empty() ? "" : directory_ / partition,
                         .devices = 2,
                         .classes = classes});
  }

  testing::TempDirectory directory_;
};

TEST_F(Images, AreDealtAlikeWithoutAPartition) {
  const auto examples = Load("");
  ASSERT_THAT(examples, IsOk());
  EXPECT_THAT(examples->rows.y, ElementsAre(2, 0, 1, 0));
  EXPECT_FLOAT_EQ(examples->rows.x.front(), 97.0F / 255);
  EXPECT_THAT(examples->shares, ElementsAre(SizeIs(2), SizeIs(2)));
  EXPECT_THAT(RowsOf(examples->shares), UnorderedElementsAre(0, 1, 2, 3));
}

TEST_F(Images, AreDealtAsAPartitionSays) {
  Write("parts.csv", "3,1\n0,2\n1,1\n");
  const auto examples = Load("parts.csv");
  ASSERT_THAT(examples, IsOk());
  EXPECT_THAT(examples->shares, ElementsAre(ElementsAre(3, 1), ElementsAre(0, 2))) << "of the two devices there are";
}

TEST_F(Images, AreRefusedWithTheReason) {
  Write("parts.csv", "3,4\n");
  EXPECT_THAT(Load("parts.csv"), IsErrorSaying(ErrorCode::kMalformed, "expected the number of one of 4 images"));
  EXPECT_THAT(Load("", 2), IsErrorSaying(ErrorCode::kInvalidArgument, "labels beyond the 2 classes"));
  std::filesystem::remove(directory_ / "t10k-labels-idx1-ubyte");
  EXPECT_THAT(Load(""), IsErrorSaying(ErrorCode::kNotFound, "none to measure on"));
  std::filesystem::remove(directory_ / "train-labels-idx1-ubyte");
  EXPECT_THAT(Load(""), IsErrorSaying(ErrorCode::kInvalidArgument, "holds neither recordings of people"));
}

class Described : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ofstream(directory_ / "rows.csv") << "a,b,kind\n1,2,x\n3,4,y\n5,6,x\n7,8,y\n9,10,x\n11,12,z\n";
    Describe("all.toml", R"(["x", "y", "z"])");
    Describe("some.toml", R"(["x", "y"])");
    std::ofstream(directory_ / "parts.csv") << "5,0\n1,2\n";
  }
  void Describe(const std::string& name, const std::string& classes) const {
    std::ofstream(directory_ / name) << "[data]\nfeatures = \"rows.csv\"\nlabel_column = \"kind\"\nclasses = "
                                     << classes << "\n";
  }
  [[nodiscard]] Result<FleetExamples> Load(const char* data, const char* held_out, const char* partition) const {
    const auto in = [&](const char* name) { return *name == '\0' ? std::filesystem::path() : directory_ / name; };
    return LoadExamples({.data = in(data), .held_out = in(held_out), .partition = in(partition), .devices = 2});
  }

  testing::TempDirectory directory_;
};

TEST_F(Described, HaveAFifthOfTheRowsHeldOut) {
  const auto examples = Load("all.toml", "", "");
  ASSERT_THAT(examples, IsOk());
  ASSERT_THAT(examples->held_out, SizeIs(1));
  EXPECT_EQ(examples->held_out.front().rows, 1U);
  std::vector<float> all = examples->rows.x;
  all.insert(all.end(), examples->held_out.front().x.begin(), examples->held_out.front().x.end());
  EXPECT_THAT(all, UnorderedElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
  EXPECT_THAT(examples->shares, ElementsAre(SizeIs(3), SizeIs(2)));
}

TEST(LoadExamples, DoesNotDealByWhatAFileRepeats) {
  const testing::TempDirectory directory;
  std::ofstream rows(directory / "rows.csv");
  rows << "a,kind\n";
  for (int i = 0; i < 400; ++i) rows << i << (i % 4 == 0 ? ",x\n" : ",y\n");
  rows.close();
  std::ofstream(directory / "all.toml")
      << "[data]\nfeatures = \"rows.csv\"\nlabel_column = \"kind\"\nclasses = [\"x\", \"y\"]\n";
  const auto examples = LoadExamples({.data = directory / "all.toml", .held_out = {}, .partition = {}, .devices = 8});
  ASSERT_THAT(examples, IsOk());
  for (const auto& share : examples->shares) {
    std::size_t of_y = 0;
    for (const std::uint32_t row : share) of_y += examples->rows.y[row];
    EXPECT_GT(of_y, share.size() / 2);
    EXPECT_LT(of_y, share.size());
  }
}

TEST_F(Described, AreMeasuredOnWhatIsSaid) {
  const auto examples = Load("all.toml", "all.toml", "parts.csv");
  ASSERT_THAT(examples, IsOk());
  EXPECT_EQ(examples->held_out.front().rows, 6U);
  EXPECT_THAT(examples->shares, ElementsAre(ElementsAre(5, 0), ElementsAre(1, 2)));
}

TEST_F(Described, AreRefusedWithTheReason) {
  EXPECT_THAT(Load("all.toml", "some.toml", ""),
              IsErrorSaying(ErrorCode::kInvalidArgument, "other features or classes"));
  EXPECT_THAT(Load("some.toml", "some.toml", "parts.csv"),
              IsErrorSaying(ErrorCode::kInvalidArgument, "leaves none out"));
  EXPECT_THAT(Load("all.toml", "", "parts.csv"), IsErrorSaying(ErrorCode::kInvalidArgument, "(--held-out)"));
  EXPECT_THAT(Load("", "all.toml", ""), IsErrorSaying(ErrorCode::kInvalidArgument, "beside a description"));
  EXPECT_THAT(Load("none.toml", "", ""), IsErrorSaying(ErrorCode::kNotFound, "none.toml"));
}

TEST(LoadExamples, TakesAPartitionOfImagesOnly) {
  EXPECT_THAT(LoadExamples({.data = {}, .held_out = {}, .partition = "p.npy", .devices = 1}),
              IsErrorSaying(ErrorCode::kInvalidArgument, "say with --data which"));
}

}  // namespace
}  // namespace tacit::simulate
