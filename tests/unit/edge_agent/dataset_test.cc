#include "edge_agent/data/dataset.h"

#include <sys/stat.h>

#include <gmock/gmock.h>

#include "tests/support/matchers.h"
#include "tests/unit/edge_agent/data_files.h"

namespace tacit::data {
namespace {

using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::ElementsAre;
using testing::Gzip;
using testing::Npy;
using testing::ScratchDirectory;

class DatasetFiles : public ::testing::Test {
 protected:
  ScratchDirectory directory_;
  std::filesystem::path features_ =
      directory_.Write("x.npy", Npy<std::int8_t>("|i1", "4, 2", {10, 11, 20, 21, 30, 31, 40, 41}));
  std::filesystem::path labels_ = directory_.Write("y.npy", Npy<std::uint8_t>("|u1", "4,", {1, 2, 7, 1}));

  [[nodiscard]] DataSource Arrays() const {
    return {.features = features_, .labels = labels_, .classes = LabelRange{.first = 1, .classes = 2}};
  }
};

TEST_F(DatasetFiles, KeepsRowsWithinTheLabelRangeAndScalesThem) {
  DataSource source = Arrays();
  source.scale = 0.5;
  const auto dataset = LoadDataset(source);
  ASSERT_THAT(dataset, IsOk());
  EXPECT_EQ(dataset->rows, 3U);
  EXPECT_EQ(dataset->features, 2U);
  EXPECT_EQ(dataset->classes, 2U);
  EXPECT_THAT(dataset->x, ElementsAre(5, 5.5, 10, 10.5, 20, 20.5));
  EXPECT_THAT(dataset->y, ElementsAre(0, 1, 0));
}

TEST_F(DatasetFiles, SelectsTheRowsOfASubject) {
  DataSource source = Arrays();
  source.rows =
      RowsWhere{.file = directory_.Write("s.npy", Npy<std::uint8_t>("|u1", "4,", {3, 5, 3, 5})), .value = "5"};
  EXPECT_THAT(LoadDataset(source)->x, ElementsAre(20, 21, 40, 41));
}

TEST_F(DatasetFiles, SelectsTheRowsOfAnIndexFileByClientAndAsAList) {
  DataSource source = Arrays();
  source.rows =
      RowsListed{.file = directory_.Write("parts.npy", Npy<std::uint16_t>("<u2", "2, 2", {2, 0, 3, 1})), .client = 1};
  EXPECT_THAT(LoadDataset(source)->x, ElementsAre(20, 21, 40, 41));
  source.rows = RowsListed{.file = directory_.Write("list.csv", "3\n0\n")};
  EXPECT_THAT(LoadDataset(source)->x, ElementsAre(10, 11, 40, 41));
}

TEST_F(DatasetFiles, RefusesIndexFilesThatDoNotFit) {
  DataSource source = Arrays();
  const auto listed = [&](std::string_view text, std::optional<std::uint64_t> client) {
    source.rows = RowsListed{.file = directory_.Write("list.csv", text), .client = client};
    return LoadDataset(source);
  };
  EXPECT_THAT(listed("4\n", {}), IsErrorSaying(ErrorCode::kMalformed, "expected row numbers below 4, found 4"));
  EXPECT_THAT(listed("1\n1\n", {}), IsErrorSaying(ErrorCode::kMalformed, "found row 1 twice"));
  EXPECT_THAT(listed("1\n-1\n", {}), IsErrorSaying(ErrorCode::kMalformed, "list.csv:2:1: expected a row number"));
  EXPECT_THAT(listed("1\n0.5\n", {}), IsErrorSaying(ErrorCode::kMalformed, "list.csv:2:1: expected a row number"));
  EXPECT_THAT(listed("1,2\n", {}), IsErrorSaying(ErrorCode::kInvalidArgument, "say which client"));
  EXPECT_THAT(listed("1,2\n", 1), IsErrorSaying(ErrorCode::kInvalidArgument, "there is no client 1"));
}

TEST_F(DatasetFiles, NamesTheFileWhoseRowsDoNotMatchTheFeatures) {
  DataSource source = Arrays();
  source.labels = directory_.Write("short.npy", Npy<std::uint8_t>("|u1", "3,", {1, 2, 1}));
  EXPECT_THAT(LoadDataset(source), IsErrorSaying(ErrorCode::kMalformed, "short.npy: expected a label for each row"));
  source.labels = directory_.Write("long.npy", Npy<std::uint8_t>("|u1", "5,", {1, 2, 1, 1, 1}));
  EXPECT_THAT(LoadDataset(source), IsErrorSaying(ErrorCode::kMalformed, "long.npy: expected 4 labels"));
  source = Arrays();
  source.rows = RowsWhere{.file = directory_.Write("s.npy", Npy<std::uint8_t>("|u1", "3,", {3, 3, 3})), .value = "3"};
  EXPECT_THAT(LoadDataset(source), IsErrorSaying(ErrorCode::kMalformed, "s.npy: expected a row for each row"));
}

TEST_F(DatasetFiles, SaysThatNothingIsSelected) {
  DataSource source = Arrays();
  source.rows = RowsWhere{.file = labels_, .value = "99"};
  EXPECT_THAT(LoadDataset(source), IsErrorSaying(ErrorCode::kInvalidArgument, "none of its 4 rows is selected"));
}

TEST_F(DatasetFiles, RefusesMoreValuesThanAllowed) {
  DataSource source = Arrays();
  source.max_values = 5;
  EXPECT_THAT(LoadDataset(source), IsErrorSaying(ErrorCode::kTooLarge, "choose fewer rows"));
}

TEST_F(DatasetFiles, NeitherWaitsForAPipeNorTakesOneForAFile) {
  const auto pipe = directory_.path() / "pipe.csv";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(DataStream::OpenFile(pipe), IsErrorSaying(ErrorCode::kInvalidArgument, "not a regular file"));
}

TEST_F(DatasetFiles, RefusesLabelsThatAreNotWholeNumbers) {
  DataSource source = Arrays();
  source.labels = directory_.Write("y.f4.npy", Npy<float>("<f4", "4,", {1, 2, 1.5, 1}));
  EXPECT_THAT(LoadDataset(source),
              IsErrorSaying(ErrorCode::kMalformed, "y.f4.npy:byte 136: expected a whole number as label"));
}

class DatasetTable : public ::testing::Test {
 protected:
  ScratchDirectory directory_;
  std::filesystem::path table_ = directory_.Write(
      "t.csv.gz",
      Gzip(AsBytes(std::string_view("user,class,a,b\n1,Walking,1,2\n2,Jogging,3,\n2,Sitting,5,6\n2,Walking,7,8\n"))));

  [[nodiscard]] DataSource Table() const {
    return {.features = table_,
            .label_column = "class",
            .classes = LabelNames{"Jogging", "Walking"},
            .missing = 0,
            .rows = RowsWhere{.column = "user", .value = "2"}};
  }
};

TEST_F(DatasetTable, TakesLabelsByNameAndLeavesOutTheLabelAndTheSelectingColumn) {
  const auto dataset = LoadDataset(Table());
  ASSERT_THAT(dataset, IsOk());
  EXPECT_EQ(dataset->features, 2U);
  EXPECT_THAT(dataset->x, ElementsAre(3, 0, 7, 8));
  EXPECT_THAT(dataset->y, ElementsAre(0, 1));
}

TEST_F(DatasetTable, CountsTheRowsWhoseLabelIsNoClassAndNamesSuchLabels) {
  EXPECT_EQ(LoadDataset(Table())->left_out.rows, 1U) << "of the selected rows only";
  EXPECT_THAT(LoadDataset(Table())->left_out.labels, ElementsAre("Sitting"));
  EXPECT_EQ(LabelOf(LoadDataset(Table())->labels, 1), "Walking");
  DataSource source = Table();
  source.classes = LabelNames{"walking", "jogging"};
  EXPECT_THAT(LoadDataset(source), IsErrorSaying(ErrorCode::kInvalidArgument,
                                                 "none of its 4 rows is selected; 3 have labels that are none of the "
                                                 "classes: 'Jogging', 'Sitting', 'Walking'"));
}

TEST(Dataset, NamesFewAndShortLabelsOfThoseLeftOut) {
  const ScratchDirectory directory;
  std::string text = "a,class\n1,x\n";
  for (int i = 0; i < 100; ++i) text += "1,y" + std::to_string(i) + std::string(1000, 'z') + "\n";
  const auto dataset =
      LoadDataset({.features = directory.Write("t.csv", text), .label_column = "class", .classes = LabelNames{"x"}});
  ASSERT_THAT(dataset, IsOk());
  EXPECT_EQ(dataset->left_out.rows, 100U);
  ASSERT_EQ(dataset->left_out.labels.size(), kMaxLabelsLeftOut);
  for (const std::string& label : dataset->left_out.labels) EXPECT_EQ(label.size(), kMaxLabelBytes);
}

TEST_F(DatasetTable, TakesColumnsByNumber) {
  DataSource source = Table();
  source.label_column = "2";
  source.rows = RowsWhere{.column = "1", .value = "1"};
  source.ignored_columns = {"b"};
  EXPECT_THAT(LoadDataset(source)->x, ElementsAre(1));
}

TEST_F(DatasetTable, RefusesAnEmptyFieldWithoutAValueForIt) {
  DataSource source = Table();
  source.missing.reset();
  EXPECT_THAT(LoadDataset(source),
              IsErrorSaying(ErrorCode::kMalformed, "t.csv.gz:3:4: expected a number, found an empty field"));
}

TEST_F(DatasetTable, NamesTheColumnThatIsNotThere) {
  DataSource source = Table();
  source.label_column = "klass";
  EXPECT_THAT(LoadDataset(source),
              IsErrorSaying(ErrorCode::kInvalidArgument,
                            "t.csv.gz: has no column 'klass', which label_column names (did you mean 'class'?): "
                            "expected 'user', 'class', 'a', 'b', or a number from 1 to 4"));
  source.label_column = "5";
  EXPECT_THAT(LoadDataset(source), IsErrorSaying(ErrorCode::kInvalidArgument, "has no column '5', which label_column"));
  source = Table();
  source.ignored_columns = {"time"};
  EXPECT_THAT(LoadDataset(source), IsErrorSaying(ErrorCode::kInvalidArgument, "'time', which ignore_columns names"));
  source = Table();
  source.rows = RowsWhere{.column = "usr", .value = "1"};
  EXPECT_THAT(LoadDataset(source),
              IsErrorSaying(ErrorCode::kInvalidArgument, "which [data.rows] column names (did you mean 'user'?)"));
}

TEST(Dataset, NamesFewOfManyColumns) {
  const ScratchDirectory directory;
  std::string head = "c1";
  for (int i = 2; i <= 100; ++i) head += ",c" + std::to_string(i);
  EXPECT_THAT(
      LoadDataset(
          {.features = directory.Write("t.csv", head + "\n"), .label_column = "class", .classes = LabelNames{"x"}}),
      IsErrorSaying(ErrorCode::kInvalidArgument, "'c20', 80 more names of its first line, or a number from 1 to 100"));
}

TEST_F(DatasetTable, RefusesContradictingSources) {
  DataSource source = Table();
  source.labels = table_;
  EXPECT_THAT(LoadDataset(source), IsErrorSaying(ErrorCode::kInvalidArgument, "either a file of labels or the column"));
  source = Table();
  source.classes = LabelRange{.first = 0, .classes = 0};
  EXPECT_THAT(LoadDataset(source), IsErrorSaying(ErrorCode::kInvalidArgument, "classes must be"));
  source = Table();
  source.ignored_columns = {"a", "b"};
  EXPECT_THAT(LoadDataset(source), IsErrorSaying(ErrorCode::kInvalidArgument, "no column is left"));
}

TEST_F(DatasetTable, RefusesAValueThatOverflowsFloat32AfterScaling) {
  DataSource source = Table();
  source.scale = 1e39;
  EXPECT_THAT(LoadDataset(source), IsErrorSaying(ErrorCode::kMalformed, "fits float32"));
}

TEST(PeopleLayout, PrefersThePackedFileAndSelectsTheSubject) {
  const ScratchDirectory directory;
  directory.Write("train_x.i8.npy.gz", Gzip(Npy<std::int8_t>("|i1", "3, 1", {127, -127, 0})));
  directory.Write("train_y.u8.npy", Npy<std::uint8_t>("|u1", "3,", {6, 7, 1}));
  directory.Write("train_subject.u8.npy", Npy<std::uint8_t>("|u1", "3,", {4, 4, 5}));
  const auto everyone = LoadDataset(SourceOf({.directory = directory.path()}));
  ASSERT_THAT(everyone, IsOk());
  EXPECT_THAT(everyone->x, ElementsAre(1, 0));
  EXPECT_THAT(everyone->y, ElementsAre(5, 0));
  EXPECT_EQ(everyone->classes, 6U);
  EXPECT_THAT(LoadDataset(SourceOf({.directory = directory.path(), .subject = 4}))->y, ElementsAre(5));
}

}  // namespace
}  // namespace tacit::data
