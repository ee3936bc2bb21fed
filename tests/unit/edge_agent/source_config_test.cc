#include "edge_agent/data/source_config.h"

#include <gmock/gmock.h>

#include "tests/support/matchers.h"
#include "tests/unit/edge_agent/data_files.h"

namespace tacit::data {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::ElementsAre;
using ::testing::MatchesRegex;

Result<DataSource> Parse(std::string_view toml) {
  return ParseDataSource(toml, "a.toml", "/data");
}

TEST(DataSourceConfig, ReadsEveryKey) {
  const auto source = Parse(R"(
[data]
features = "t.csv.gz"
label_column = "class"
classes = ["walking", "sitting"]
ignore_columns = ["time"]
scale = 0.5
missing = -1
header = true
[data.rows]
column = "user"
value = "33"
)");
  ASSERT_THAT(source, IsOk());
  EXPECT_EQ(source->features, "/data/t.csv.gz");
  EXPECT_EQ(source->label_column, "class");
  EXPECT_THAT(std::get<LabelNames>(source->classes), ElementsAre("walking", "sitting"));
  EXPECT_THAT(source->ignored_columns, ElementsAre("time"));
  EXPECT_EQ(source->scale, 0.5);
  EXPECT_EQ(source->missing, -1.0);
  EXPECT_EQ(source->header, CsvHeader::kPresent);
  const auto& where = std::get<RowsWhere>(source->rows);
  EXPECT_EQ(where.file, std::nullopt);
  EXPECT_EQ(where.column, "user");
  EXPECT_EQ(where.value, "33");
}

TEST(DataSourceConfig, ReadsArraysWithAnIndexFile) {
  const auto source = Parse(
      "[data]\nfeatures = 'x.npy'\nlabels = '/abs/y.npy'\nclasses = 10\nfirst_label = 1\nrows = {list = 'p.npy', "
      "client = 3}");
  ASSERT_THAT(source, IsOk());
  EXPECT_EQ(source->labels, "/abs/y.npy");
  EXPECT_EQ(std::get<LabelRange>(source->classes).first, 1);
  EXPECT_EQ(std::get<LabelRange>(source->classes).classes, 10U);
  EXPECT_EQ(std::get<RowsListed>(source->rows).file, "/data/p.npy");
  EXPECT_EQ(std::get<RowsListed>(source->rows).client, 3U);
}

TEST(DataSourceConfig, NamesEverythingThatIsWrongWithItsPlace) {
  const auto source = Parse("[data]\nfeature = 'x'\nlabels = 3\nclasses = 0\nscale = 'big'\n[more]\n");
  ASSERT_THAT(source, IsError(ErrorCode::kInvalidArgument));
  const std::string& message = source.error().message;
  for (const std::string_view part :
       {"a.toml:2:11: [data] unknown key 'feature'; known here: features,", "features is needed",
        "a.toml:3:10: [data] labels must be a string", "classes must be a number from 2", "scale must be a number",
        "unknown key 'more'; known here: data"}) {
    EXPECT_NE(message.find(part), std::string::npos) << part << "\nin:\n" << message;
  }
  const std::size_t list = message.find("known here: ");
  const std::string known = message.substr(list, message.find('\n', list) - list);
  EXPECT_EQ(known.find("classes"), known.rfind("classes")) << known << ": each key once";
}

std::string ComplaintOf(std::string_view toml) {
  const auto source = Parse(toml);
  return source ? "" : source.error().message;
}

TEST(DataSourceConfig, ComplainsInTheOrderOfTheLines) {
  EXPECT_THAT(ComplaintOf("[data]\nzeta = 1\nfeatures = 'x'\nalpha = 2\nlabels = 'y'\nscale = 0\nclasses = 2\n"),
              MatchesRegex("a.toml:2:[^\n]*'zeta'[^\n]*\na.toml:4:[^\n]*'alpha'[^\n]*\na.toml:6:[^\n]*scale[^\n]*"));
}

TEST(DataSourceConfig, TakesColumnsAndValuesAsNumbersToo) {
  const auto source = Parse(
      "[data]\nfeatures = 'x'\nlabel_column = 3\nclasses = [1, 'b']\nignore_columns = [4, 'c']\n"
      "rows = {column = 2, value = 33}");
  ASSERT_THAT(source, IsOk());
  EXPECT_EQ(source->label_column, "3");
  EXPECT_THAT(std::get<LabelNames>(source->classes), ElementsAre("1", "b"));
  EXPECT_THAT(source->ignored_columns, ElementsAre("4", "c"));
  EXPECT_EQ(std::get<RowsWhere>(source->rows).column, "2");
  EXPECT_EQ(std::get<RowsWhere>(source->rows).value, "33");
}

TEST(DataSourceConfig, ComplainsOnceOfAKeyOfAWrongType) {
  EXPECT_EQ(ComplaintOf("[data]\nfeatures = 'x'\nlabel_column = 1.5\nclasses = 2\n"),
            "a.toml:3:16: [data] label_column must be a string or a whole number");
  EXPECT_EQ(ComplaintOf("[data]\nfeatures = 7\nlabels = 'y'\nclasses = 2\n"),
            "a.toml:2:12: [data] features must be a string");
  EXPECT_EQ(ComplaintOf("[data]\nfeatures = 'x'\nlabels = 'y'\nclasses = 2\n[data.rows]\ncolumn = 'a'\nvalue = 0.5\n"),
            "a.toml:7:9: [data.rows] value must be a string or a whole number");
}

TEST(DataSourceConfig, RefusesAScaleThatLeavesNothingOfTheFeatures) {
  const std::string base = "[data]\nfeatures = 'x'\nlabels = 'y'\nclasses = 2\nscale = ";
  for (const std::string_view scale : {"0", "0.0", "-0.0", "1e-320", "1e-40", "1e39", "inf", "nan"}) {
    EXPECT_THAT(Parse(base + std::string(scale)),
                IsErrorSaying(ErrorCode::kInvalidArgument, "a.toml:5:9: [data] scale must be"))
        << scale;
  }
  EXPECT_THAT(Parse(base + "-1e-30"), IsOk());
}

TEST(DataSourceConfig, RefusesClassesThatAreFewerThanTwoOrTheSame) {
  const std::string base = "[data]\nfeatures = 'x'\nlabels = 'y'\nclasses = ";
  for (const std::string_view few : {"[]", "['a']"}) {
    EXPECT_THAT(Parse(base + std::string(few)), IsErrorSaying(ErrorCode::kInvalidArgument, "at least 2 labels"));
  }
  EXPECT_THAT(Parse(base + "1"), IsErrorSaying(ErrorCode::kInvalidArgument, "a number from 2"));
  EXPECT_THAT(Parse(base + "['b', 'a', 'b']"),
              IsErrorSaying(ErrorCode::kInvalidArgument, "a.toml:4:11: [data] classes lists 'b' twice"));
}

TEST(DataSourceConfig, RefusesHalfARowSelection) {
  const std::string base = "[data]\nfeatures = 'x'\nlabels = 'y'\nclasses = 2\n[data.rows]\n";
  for (const std::string_view rows : {"column = 'a'", "client = 1", "list = 'p'\nvalue = '3'", "value = '3'", ""}) {
    EXPECT_THAT(Parse(base + std::string(rows)), IsErrorSaying(ErrorCode::kInvalidArgument, "give either value"))
        << rows;
  }
  EXPECT_THAT(Parse(base + "list = 'p'\nclient = -1"), IsErrorSaying(ErrorCode::kInvalidArgument, "0 or greater"));
}

TEST(DataSourceConfig, SaysWhereTheTomlBreaks) {
  EXPECT_THAT(Parse("[data]\nfeatures = \n"), IsErrorSaying(ErrorCode::kInvalidArgument, "a.toml:2:"));
  EXPECT_THAT(Parse(""), IsErrorSaying(ErrorCode::kInvalidArgument, "[data] is needed"));
  EXPECT_THAT(Parse(std::string(60'000, '[')), IsError(ErrorCode::kInvalidArgument));
}

TEST(DataSourceConfig, TakesPathsFromTheDirectoryOfItsFile) {
  const testing::ScratchDirectory directory;
  const auto file = directory.Write("agent.toml", "[data]\nfeatures = 'x'\nlabels = 'y'\nclasses = 2\n");
  EXPECT_EQ(LoadDataSource(file)->features, directory.path() / "x");
  EXPECT_THAT(LoadDataSource(directory.path() / "absent.toml"), IsError(ErrorCode::kNotFound));
}

}  // namespace
}  // namespace tacit::data
