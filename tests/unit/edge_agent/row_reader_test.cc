#include "edge_agent/data/row_reader.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>

#include "tests/support/matchers.h"
#include "tests/unit/edge_agent/data_files.h"

namespace tacit::data {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::testing::ElementsAre;
using testing::Gzip;
using testing::Npy;
using testing::ToBytes;

using Rows = std::vector<std::vector<double>>;

// Every row as numbers, empty fields as -999.
Result<Rows> ReadAll(ByteSpan file, CsvHeader header = CsvHeader::kAuto) {
  TACIT_TRY(DataStream stream, DataStream::FromMemory(file, "f"));
  TACIT_TRY(const std::unique_ptr<RowReader> reader, OpenRows(std::move(stream), header));
  Rows rows;
  while (true) {
    TACIT_TRY(const bool more, reader->Next());
    if (!more) return rows;
    rows.emplace_back();
    for (std::size_t i = 0; i < reader->columns(); ++i) {
      TACIT_TRY(const std::optional<double> number, reader->Number(i));
      rows.back().push_back(number.value_or(-999));
    }
  }
}
Result<Rows> ReadText(std::string_view text, CsvHeader header = CsvHeader::kAuto) {
  return ReadAll(AsBytes(text), header);
}

template <typename T>
void ReadsNpy(std::string_view descr, const std::vector<T>& values, const std::vector<double>& expected) {
  const auto rows = ReadAll(Npy(descr, std::to_string(values.size()) + ", 1", values));
  ASSERT_THAT(rows, IsOk()) << descr;
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ((*rows)[i][0], expected[i]) << descr;
}

TEST(Npy, ReadsEveryElementTypeAtItsLimits) {
  ReadsNpy<std::int8_t>("|i1", {-128, 127}, {-128, 127});
  ReadsNpy<std::uint8_t>("|u1", {0, 255}, {0, 255});
  ReadsNpy<std::int16_t>("<i2", {-32768, 32767}, {-32768, 32767});
  ReadsNpy<std::uint16_t>("<u2", {65535}, {65535});
  ReadsNpy<std::int32_t>("<i4", {-2147483647 - 1, 2147483647}, {-2147483648.0, 2147483647});
  ReadsNpy<std::int64_t>("<i8", {-5, 1LL << 40}, {-5, 0x1p40});
  ReadsNpy<float>("<f4", {0.5F, -1e30F}, {0.5, static_cast<double>(-1e30F)});
  ReadsNpy<double>("<f8", {0.1, -1e300}, {0.1, -1e300});
}

TEST(Npy, ReadsRowsOfAnyDimensionAndVersionTwo) {
  EXPECT_THAT(*ReadAll(Npy<std::uint8_t>("|u1", "2, 2, 2", {1, 2, 3, 4, 5, 6, 7, 8})),
              ElementsAre(ElementsAre(1, 2, 3, 4), ElementsAre(5, 6, 7, 8)));
  EXPECT_THAT(*ReadAll(Npy<std::uint8_t>("|u1", "2,", {7, 9})), ElementsAre(ElementsAre(7), ElementsAre(9)));
  EXPECT_THAT(*ReadAll(Npy<std::uint8_t>("|u1", "0, 3", {})), ElementsAre());
  Bytes second = Npy<std::uint8_t>("|u1", "1,", {7});
  second[6] = 2;
  second.insert(second.begin() + 10, {0, 0});
  EXPECT_THAT(*ReadAll(second), ElementsAre(ElementsAre(7)));
}

TEST(Npy, ReadsTheSameThroughGzipAlsoOfSeveralMembers) {
  const Bytes file = Npy<std::uint8_t>("|u1", "2, 2", {1, 2, 3, 4});
  EXPECT_EQ(*ReadAll(Gzip(file)), *ReadAll(file));
  Bytes members = Gzip(ByteSpan(file).first(20));
  const Bytes rest = Gzip(ByteSpan(file).subspan(20));
  members.insert(members.end(), rest.begin(), rest.end());
  EXPECT_EQ(*ReadAll(members), *ReadAll(file));
}

TEST(Npy, RefusesEveryTruncationPlainAndGzip) {
  const Bytes file = Npy<std::uint16_t>("<u2", "3, 2", {1, 2, 3, 4, 5, 6});
  for (std::size_t size = 6; size < file.size(); ++size) {
    EXPECT_THAT(ReadAll(ByteSpan(file).first(size)), IsErrorSaying(ErrorCode::kMalformed, "f:byte")) << size;
  }
  const Bytes packed = Gzip(file);
  for (std::size_t size = 2; size < packed.size(); ++size) {
    EXPECT_THAT(ReadAll(ByteSpan(packed).first(size)), IsErrorSaying(ErrorCode::kMalformed, "expected gzip data"))
        << size;
  }
}

TEST(Npy, NamesTheByteAndWhatWasExpected) {
  EXPECT_THAT(ReadAll(Npy<std::uint8_t>("|u1", "3, 2", {1, 2, 3})),
              IsErrorSaying(ErrorCode::kMalformed,
                            "f:byte 131: expected 1 more bytes of array data, found the end of the file"));
  EXPECT_THAT(ReadAll(Npy<std::uint8_t>("|u1", "1, 2", {1, 2, 3})),
              IsErrorSaying(ErrorCode::kMalformed, "f:byte 130: expected the end of the file"));
  EXPECT_THAT(ReadAll(Npy<float>("<f4", "1, 2", {1, std::nanf("")})),
              IsErrorSaying(ErrorCode::kMalformed, "f:byte 132: expected a finite number, found nan"));
  EXPECT_THAT(ReadAll(Npy<float>(">f4", "1,", {1})), IsErrorSaying(ErrorCode::kMalformed, "element type"));
  EXPECT_THAT(ReadAll(Npy<float>("<c8", "1,", {1})), IsErrorSaying(ErrorCode::kMalformed, "'<c8'"));
  EXPECT_THAT(ReadAll(Npy<float>("<f4", "", {1})), IsErrorSaying(ErrorCode::kMalformed, "at least one dimension"));
}

TEST(Npy, RefusesFortranOrderAndSaysWhatToDo) {
  Bytes file = Npy<std::uint8_t>("|u1", "1, 1", {1});
  const std::size_t at = AsText(file).find("False");
  std::ranges::copy(std::string_view("True "), file.begin() + static_cast<std::ptrdiff_t>(at));
  EXPECT_THAT(ReadAll(file), IsErrorSaying(ErrorCode::kMalformed, "ascontiguousarray"));
}

TEST(Npy, RefusesHeadersThatAreNotTheThreeKeys) {
  for (const std::string_view literal :
       {"", "{", "{}", "{'descr': '|u1', 'shape': (1,)}", "{'descr': '|u1', 'descr': '|u1', 'shape': (1,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1,), 'more': 1}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1,",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1,)} x",
        "{'descr': '|u1', 'fortran_order': 0, 'shape': (1,)}"}) {
    Bytes file = ToBytes("\x93NUMPY");
    file.insert(file.end(), {1, 0, static_cast<std::uint8_t>(literal.size()), 0});
    const ByteSpan text = AsBytes(literal);
    file.insert(file.end(), text.begin(), text.end());
    file.push_back(7);
    EXPECT_THAT(ReadAll(file), IsErrorSaying(ErrorCode::kMalformed, "f:byte")) << literal;
  }
}

// The claim is refused or read row by row; under the address sanitizer an allocation of its size would end the test.
TEST(Npy, TakesNoMemoryOnTheWordOfItsShape) {
  EXPECT_THAT(ReadAll(Npy<std::uint8_t>("|u1", "1, 99999999999", {1})),
              IsErrorSaying(ErrorCode::kMalformed, "rows of 1 to"));
  EXPECT_THAT(ReadAll(Npy<std::uint8_t>("|u1", "1, 1048576, 1048576, 1048576, 1048576", {1})),
              IsError(ErrorCode::kMalformed));
  EXPECT_THAT(ReadAll(Npy<std::uint8_t>("|u1", "1, 0", {1})), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(ReadAll(Npy<std::uint8_t>("|u1", "9999999999999999999, 1048576", {1})), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(ReadAll(Npy<std::uint8_t>("|u1", "99999999999999999999", {1})), IsError(ErrorCode::kMalformed));
}

Bytes Idx(std::initializer_list<std::uint8_t> bytes) {
  return {bytes};
}

TEST(Idx, ReadsImagesAndLabels) {
  EXPECT_THAT(*ReadAll(Idx({0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 255})),
              ElementsAre(ElementsAre(1, 2), ElementsAre(3, 255)));
  EXPECT_THAT(*ReadAll(Gzip(Idx({0, 0, 8, 1, 0, 0, 0, 2, 9, 0}))), ElementsAre(ElementsAre(9), ElementsAre(0)));
}

TEST(Idx, ReadsBigEndianNumbers) {
  EXPECT_THAT(*ReadAll(Idx({0, 0, 0x0b, 1, 0, 0, 0, 1, 0xff, 0xfe})), ElementsAre(ElementsAre(-2)));
  EXPECT_THAT(*ReadAll(Idx({0, 0, 0x0d, 1, 0, 0, 0, 1, 0x3f, 0xc0, 0, 0})), ElementsAre(ElementsAre(1.5)));
}

TEST(Idx, RefusesOtherMagicShortFilesAndTrailingBytes) {
  EXPECT_THAT(ReadAll(Idx({0, 0, 7, 1, 0, 0, 0, 1, 9})), IsErrorSaying(ErrorCode::kMalformed, "00000701"));
  EXPECT_THAT(ReadAll(Idx({0, 0, 8, 0})), IsErrorSaying(ErrorCode::kMalformed, "dimensions"));
  EXPECT_THAT(ReadAll(Idx({0, 0, 8, 1, 0, 0})), IsErrorSaying(ErrorCode::kMalformed, "IDX dimensions"));
  EXPECT_THAT(ReadAll(Idx({0, 0, 8, 1, 0, 0, 0, 2, 9})), IsErrorSaying(ErrorCode::kMalformed, "f:byte 9"));
  EXPECT_THAT(ReadAll(Idx({0, 0, 8, 1, 0, 0, 0, 1, 9, 9})), IsErrorSaying(ErrorCode::kMalformed, "f:byte 9"));
  EXPECT_THAT(ReadAll(Idx({0, 0, 8, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})),
              IsErrorSaying(ErrorCode::kMalformed, "rows of 1 to"));
}

TEST(Csv, ReadsNumbersQuotesSpacesAndEmptyFields) {
  EXPECT_THAT(*ReadText("1,-2.5e1,+3\r\n\"4\" , 5 ,\n\n"),
              ElementsAre(ElementsAre(1, -25, 3), ElementsAre(4, 5, -999)));
}

TEST(Csv, TakesTheFirstLineForNamesWhenNoFieldOfItIsANumber) {
  EXPECT_THAT(*ReadText("a,b\n1,2\n"), ElementsAre(ElementsAre(1, 2)));
  EXPECT_THAT(*ReadText("1,2\n3,4"), ElementsAre(ElementsAre(1, 2), ElementsAre(3, 4)));
  EXPECT_THAT(*ReadText("\xef\xbb\xbf"
                        "1,2\n"),
              ElementsAre(ElementsAre(1, 2)));
  EXPECT_THAT(*ReadText("1,2\n3,4\n", CsvHeader::kPresent), ElementsAre(ElementsAre(3, 4)));
  EXPECT_THAT(ReadText("a,b\n3,4\n", CsvHeader::kAbsent),
              IsErrorSaying(ErrorCode::kMalformed, "f:1:1: expected a finite number"));
}

TEST(Csv, NamesRowColumnExpectedAndFound) {
  EXPECT_THAT(ReadText("a,b\n1,2\n3,x\n"),
              IsErrorSaying(ErrorCode::kMalformed, "f:3:2: expected a finite number, found 'x'"));
  EXPECT_THAT(ReadText("1,2\n3\n"),
              IsErrorSaying(ErrorCode::kMalformed, "f:2:2: expected 2 fields as in the first line, found 1"));
  EXPECT_THAT(ReadText("1,2\n3,4,5\n"), IsErrorSaying(ErrorCode::kMalformed, "f:2:3: expected 2 fields"));
  EXPECT_THAT(ReadText("1,2\n3,\"4\n"), IsErrorSaying(ErrorCode::kMalformed, "f:2:2: expected a closing quote"));
  EXPECT_THAT(ReadText("1,2\n3,\"4\"5\n"), IsErrorSaying(ErrorCode::kMalformed, "f:2:2: expected a comma"));
  EXPECT_THAT(ReadText("1,2\n3,nan\n"),
              IsErrorSaying(ErrorCode::kMalformed, "f:2:2: expected a finite number, found 'nan'"));
  EXPECT_THAT(ReadText("1,2\n3,1e999\n"), IsErrorSaying(ErrorCode::kMalformed, "f:2:2"));
  EXPECT_THAT(ReadText("1,2\n3,0x10\n"), IsErrorSaying(ErrorCode::kMalformed, "f:2:2"));
  EXPECT_THAT(ReadText(""), IsErrorSaying(ErrorCode::kMalformed, "f:1:1"));
  EXPECT_THAT(ReadText("1,2\n" + std::string(100, 'y') + ",2\n"), IsErrorSaying(ErrorCode::kMalformed, "...'"));
}

TEST(DataStream, EndsAGzipBombAtItsLimit) {
  const Bytes bomb = Gzip(Bytes(std::size_t{8} << 20U, '\n'));
  ASSERT_LT(bomb.size(), 16'384U);
  auto stream = DataStream::FromMemory(bomb, "bomb", 1U << 20U);
  ASSERT_THAT(stream, IsOk());
  EXPECT_THAT(OpenCsv(*std::move(stream), CsvHeader::kAuto),
              IsErrorSaying(ErrorCode::kTooLarge, "bomb: holds more than"));
}

TEST(DataStream, RefusesALineWithoutEnd) {
  EXPECT_THAT(ReadAll(Bytes(std::size_t{33} << 20U, '1')), IsErrorSaying(ErrorCode::kMalformed, "a line of at most"));
}

TEST(DataStream, FindsDamageThatInflatesWithoutAnError) {
  Bytes packed = Gzip(Npy<std::uint8_t>("|u1", "4,", {1, 2, 3, 4}));
  packed[packed.size() - 8] ^= 1U;  // the checksum
  EXPECT_THAT(ReadAll(packed), IsErrorSaying(ErrorCode::kMalformed, "damaged"));
}

TEST(DataStream, SaysWhichFileIsMissing) {
  EXPECT_THAT(DataStream::OpenFile("/nonexistent/x.npy"), IsErrorSaying(ErrorCode::kNotFound, "/nonexistent/x.npy"));
}

}  // namespace
}  // namespace tacit::data
