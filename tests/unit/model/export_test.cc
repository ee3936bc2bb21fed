#include "common/model/export.h"

#include <algorithm>
#include <numeric>

#include <gmock/gmock.h>

#include "tests/support/matchers.h"

namespace tacit::model {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;

struct Sample {
  ModelSpec spec = *ModelSpec::Create({.inputs = 3, .hidden = {4}, .classes = 2});
  std::vector<float> parameters = std::vector<float>(spec.ParameterCount());
  Sample() { std::iota(parameters.begin(), parameters.end(), 0.5F); }
  [[nodiscard]] Bytes File() const { return ToSafetensors(spec, parameters, {{"round", "3"}}); }
};

// The file with `from` in its header replaced by `to` of the same length.
Bytes Edited(Bytes file, std::string_view from, std::string_view to) {
  const std::size_t at = AsText(file).find(from);
  EXPECT_NE(at, std::string_view::npos);
  EXPECT_EQ(from.size(), to.size());
  std::ranges::copy(to, file.begin() + static_cast<std::ptrdiff_t>(at));
  return file;
}

TEST(Safetensors, RoundTripsParametersShapeAndMetadata) {
  const Sample sample;
  const auto loaded = ParseSafetensors(sample.File());
  ASSERT_THAT(loaded, testing::IsOk());
  EXPECT_EQ(loaded->spec, sample.spec);
  EXPECT_EQ(loaded->parameters, sample.parameters);
  EXPECT_EQ(loaded->metadata.at("round"), "3");
}

TEST(Safetensors, HeaderIsPaddedSoThatTensorsAreAligned) {
  const Bytes file = Sample().File();
  EXPECT_EQ(file[0] % 8, 0);
  EXPECT_EQ(file[8], '{');
}

TEST(Safetensors, MetadataCannotPoseAsAnotherSpecification) {
  const Sample sample;
  const Bytes file = ToSafetensors(sample.spec, sample.parameters, {{std::string(kSpecKey), "tacit-mlp/1:1,1"}});
  EXPECT_EQ(ParseSafetensors(file)->spec, sample.spec);
}

TEST(Safetensors, RefusesEveryTruncation) {
  const Bytes file = Sample().File();
  for (std::size_t size = 0; size < file.size(); ++size) {
    EXPECT_THAT(ParseSafetensors(ByteSpan(file).first(size)), IsError(ErrorCode::kMalformed)) << size;
  }
}

TEST(Safetensors, NamesTheTensorThatIsWrong) {
  const Bytes file = Sample().File();
  EXPECT_THAT(ParseSafetensors(Edited(file, "[4,3]", "[3,4]")),
              IsErrorSaying(ErrorCode::kMalformed, "layer0.weight: shape"));
  EXPECT_THAT(ParseSafetensors(Edited(file, "F32", "I32")),
              IsErrorSaying(ErrorCode::kMalformed, "layer0.weight: expected dtype"));
  EXPECT_THAT(ParseSafetensors(Edited(file, "layer1.bias", "layer2.bias")),
              IsErrorSaying(ErrorCode::kMalformed, "layer1.bias: expected, not found"));
  EXPECT_THAT(ParseSafetensors(Edited(file, "[48,64]", "[48,99]")),
              IsErrorSaying(ErrorCode::kMalformed, "data_offsets"));
}

TEST(Safetensors, RefusesTensorsThatShareBytes) {
  // layer1.bias (8 bytes at 96) moved onto the start of layer0.weight.
  EXPECT_THAT(ParseSafetensors(Edited(Sample().File(), "[96,104]", "[0,8]   ")),
              IsErrorSaying(ErrorCode::kMalformed, "overlap"));
}

TEST(Safetensors, BoundsTheHeaderBeforeReadingIt) {
  Bytes file = Sample().File();
  file[7] = 0x7f;
  EXPECT_THAT(ParseSafetensors(file), IsErrorSaying(ErrorCode::kMalformed, "header length"));
}

TEST(Safetensors, RefusesAForeignFile) {
  EXPECT_THAT(ParseSafetensors(Edited(Sample().File(), "tacit_model", "other_model")),
              IsErrorSaying(ErrorCode::kMalformed, "only models exported by Tacit"));
}

TEST(Npz, GivesTheSameBytesForTheSameModel) {
  const Sample sample;
  EXPECT_EQ(ToNpz(sample.spec, sample.parameters, {}), ToNpz(sample.spec, sample.parameters, {}));
}

}  // namespace
}  // namespace tacit::model
