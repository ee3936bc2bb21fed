#include "edge_agent/worker/messages.h"

#include <cerrno>

#include <gtest/gtest.h>

#include "tests/support/matchers.h"

namespace tacit::worker {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsOk;

Bytes Joined(std::span<const ByteSpan> parts) {
  Bytes all;
  for (const ByteSpan part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

Bytes Encoded(std::size_t rows, const std::vector<Bytes>& tensors) {
  const std::vector<ByteSpan> spans(tensors.begin(), tensors.end());
  return Joined(TensorParts(rows, spans).parts());
}

Loaded SomeModel() {
  Loaded loaded;
  loaded.signature.inputs = {
      {.name = "image", .element = graph::Element::kFloat32, .shape = {graph::kRows, 1, 28, 28}}};
  loaded.signature.outputs = {{.name = "scores", .element = graph::Element::kInt8, .shape = {graph::kRows, 10}},
                              {.name = "", .element = graph::Element::kInt32, .shape = {graph::kRows}}};
  loaded.digest.fill(7);
  loaded.protections.Record(protect::Measure::kSealedPages, ENOSYS);
  return loaded;
}

TEST(FrameHeader, ComesBack) {
  const auto parsed = ParseHeader(EncodeHeader({.size = 70'000, .kind = Kind::kInfer, .id = 1ULL << 60U}));
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(parsed->size, 70'000U);
  EXPECT_EQ(parsed->kind, Kind::kInfer);
  EXPECT_EQ(parsed->id, 1ULL << 60U);
}

TEST(FrameHeader, HasAKindThatThereIs) {
  FrameHeader header = EncodeHeader({.size = 0, .kind = Kind::kInfer, .id = 1});
  for (const std::uint8_t kind : Bytes{0, 7, 63, 70, 255}) {
    header[4] = kind;
    EXPECT_THAT(ParseHeader(header), IsError(ErrorCode::kMalformed)) << int{kind};
  }
  header = EncodeHeader({.size = 0, .kind = Kind::kInfer, .id = 1});
  header[7] = 1;
  EXPECT_THAT(ParseHeader(header), IsError(ErrorCode::kMalformed));
}

TEST(Tensors, ComeBackEachAtAMultipleOf64) {
  const std::vector<Bytes> tensors = {Bytes(64, 1), Bytes(3, 2), {}, Bytes(130, 3)};
  const Bytes body = Encoded(5, tensors);
  const auto parsed = ParseTensors(body);
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(parsed->rows, 5U);
  ASSERT_EQ(parsed->values.size(), tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(Bytes(parsed->values[i].begin(), parsed->values[i].end()), tensors[i]);
    EXPECT_EQ((parsed->values[i].data() - body.data()) % 64, 0);
  }
  EXPECT_THAT(ParseTensors(Encoded(0, {})), IsOk());
}

TEST(Tensors, AreMalformedWhereverTheyAreCut) {
  const Bytes body = Encoded(2, {Bytes(64, 1), Bytes(3, 2)});
  for (std::size_t size = 0; size < body.size(); ++size) {
    EXPECT_THAT(ParseTensors(ByteSpan(body).first(size)), IsError(ErrorCode::kMalformed)) << size;
  }
  Bytes longer = body;
  longer.push_back(0);
  EXPECT_THAT(ParseTensors(longer), IsError(ErrorCode::kMalformed));
}

TEST(Tensors, CannotBeLongerThanTheirFrame) {
  Bytes body = Encoded(2, {Bytes(64, 1)});
  for (const std::size_t byte : {16U, 20U, 23U}) {  // of the size
    Bytes changed = body;
    changed[byte] = 0xff;
    EXPECT_THAT(ParseTensors(changed), IsError(ErrorCode::kMalformed));
  }
  body[8] = 65;  // of the count
  EXPECT_THAT(ParseTensors(body), IsError(ErrorCode::kMalformed));
}

TEST(Loaded, ComesBack) {
  const Loaded loaded = SomeModel();
  const auto parsed = ParseLoaded(EncodeLoaded(loaded));
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(parsed->digest, loaded.digest);
  EXPECT_EQ(parsed->protections, loaded.protections);
  ASSERT_EQ(parsed->signature.outputs.size(), 2U);
  EXPECT_EQ(parsed->signature.inputs[0].name, "image");
  EXPECT_EQ(parsed->signature.inputs[0].shape, loaded.signature.inputs[0].shape);
  EXPECT_EQ(RowBytes(parsed->signature.inputs[0]), 28U * 28 * 4);
  EXPECT_EQ(RowBytes(parsed->signature.outputs[0]), 10U);
}

TEST(Loaded, IsMalformedWhereverItIsCut) {
  const Bytes body = EncodeLoaded(SomeModel());
  for (std::size_t size = 0; size < body.size(); ++size) {
    EXPECT_THAT(ParseLoaded(ByteSpan(body).first(size)), IsError(ErrorCode::kMalformed)) << size;
  }
}

TEST(Loaded, HasShapesWhoseRowsAreBounded) {
  for (const graph::Shape& shape :
       {graph::Shape{}, graph::Shape{3, 4}, graph::Shape{graph::kRows, 0}, graph::Shape{graph::kRows, -1},
        graph::Shape{graph::kRows, 1LL << 31U}, graph::Shape{graph::kRows, 1LL << 16U, 1LL << 16U, 1LL << 32U}}) {
    Loaded loaded = SomeModel();
    loaded.signature.inputs[0].shape = shape;
    EXPECT_THAT(ParseLoaded(EncodeLoaded(loaded)), IsError(ErrorCode::kMalformed));
  }
}

TEST(Loaded, TellsOfDetectorsOfAModelWithOneInput) {
  Loaded loaded = SomeModel();
  loaded.detectors = {.calibration = {5},
                      .policy = {.mode = detect::Mode::kFlag, .identity_budget = 3, .device_budget = 4}};
  const Bytes body = EncodeLoaded(loaded);
  const auto parsed = ParseLoaded(body);
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(parsed->detectors, loaded.detectors);
  for (std::size_t size = 0; size < body.size(); ++size) {
    EXPECT_THAT(ParseLoaded(ByteSpan(body).first(size)), IsError(ErrorCode::kMalformed)) << size;
  }
  const std::size_t mode = body.size() - 25;
  Bytes changed = body;
  changed[mode] = 3;
  EXPECT_THAT(ParseLoaded(changed), IsError(ErrorCode::kMalformed));
  changed = body;
  changed.back() = 1;  // a window of more than a year
  EXPECT_THAT(ParseLoaded(changed), IsError(ErrorCode::kMalformed));
  loaded.signature.inputs.push_back(loaded.signature.inputs[0]);
  EXPECT_THAT(ParseLoaded(EncodeLoaded(loaded)), IsError(ErrorCode::kMalformed));
}

TEST(Askers, ComeBackAndHaveAllRows) {
  const std::vector<detect::Asker> askers = {{.identity = {1}, .rows = 2}, {.identity = {2}, .rows = 3}};
  const Bytes bytes = EncodeAskers(askers);
  const auto parsed = ParseAskers(bytes, 5);
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(*parsed, askers);
  EXPECT_THAT(ParseAskers(bytes, 4), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(ParseAskers(bytes, 6), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(ParseAskers(ByteSpan(bytes).first(bytes.size() - 1), 5), IsError(ErrorCode::kMalformed));
}

detect::Judgement SomeJudgement() {
  detect::Judgement judgement{.drift_windows = 1, .drift_alarms = 1, .drifted = 1U << 9U, .rows = {}};
  judgement.rows.push_back({.suspicious = true,
                            .is_finite = true,
                            .concern = detect::Concern::kOutOfDistribution,
                            .strongest = detect::Score::kInput,
                            .extraction = detect::ExtractionReason::kHardness});
  judgement.rows.push_back({.suspicious = true, .is_finite = false});
  return judgement;
}

TEST(Judgement, ComesBackForTheRowsThatWereAskedAbout) {
  const Bytes bytes = EncodeJudgement(SomeJudgement());
  const auto parsed = ParseJudgement(bytes, 2);
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(*parsed, SomeJudgement());
  EXPECT_THAT(ParseJudgement(bytes, 1), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(ParseJudgement(bytes, 3), IsError(ErrorCode::kMalformed));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(ParseJudgement(ByteSpan(bytes).first(size), 2), IsError(ErrorCode::kMalformed)) << size;
  }
}

TEST(Judgement, SaysNothingThatThereIsNot) {
  // A third window of two rows; more alarms than windows; a drift without an alarm, or of no statistic; no such flag,
  // concern, score or reason.
  const std::vector<std::pair<std::size_t, std::uint8_t>> changes = {{0, 3},  {4, 2},  {4, 0},  {9, 4},
                                                                     {12, 4}, {13, 2}, {14, 7}, {15, 6}};
  for (const auto& [place, value] : changes) {
    Bytes bytes = EncodeJudgement(SomeJudgement());
    bytes[place] = value;
    EXPECT_THAT(ParseJudgement(bytes, 2), IsError(ErrorCode::kMalformed)) << place;
  }
}

TEST(State, ComesBack) {
  protect::Protections protections;
  protections.Record(protect::Measure::kNoFiles, 0);
  const auto parsed = ParseState(EncodeState({.protections = protections, .watch_passes = 9}));
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(parsed->protections, protections);
  EXPECT_EQ(parsed->watch_passes, 9U);
  EXPECT_THAT(ParseState(Bytes(23)), IsError(ErrorCode::kMalformed));
}

TEST(Failure, ComesBackAndSteersNothing) {
  const Error error = ParseFailure(EncodeFailure({ErrorCode::kNotFound, "a\x1b[2Jb\nc"}));
  EXPECT_EQ(error.code, ErrorCode::kNotFound);
  EXPECT_EQ(error.message, "a?[2Jb?c");
  EXPECT_EQ(ParseFailure({}).code, ErrorCode::kMalformed);
  EXPECT_EQ(ParseFailure(Bytes{200, 'a'}).code, ErrorCode::kMalformed);
}

}  // namespace
}  // namespace tacit::worker
