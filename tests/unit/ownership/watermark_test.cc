#include "server/ownership/watermark.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>

#include "common/crypto/digest.h"
#include "common/graph/file.h"
#include "common/graph/from_spec.h"
#include "server/ownership/obfuscate.h"
#include "server/ownership/suspect.h"
#include "tests/support/matchers.h"

namespace tacit::ownership {
namespace {

constexpr task::Watermark kRules{.triggers = 60, .input_min = -1, .input_max = 2, .steps = 400, .learning_rate = 3e-3};

crypto::SecretKey Owner(std::uint8_t of = 7) {
  return *crypto::SecretKey::FromBytes(Bytes(crypto::SecretKey::kSize, of));
}

crypto::SecretKey MarkKey() {
  return MarkKeyOf(Owner(), *TaskId::Parse("digits"));
}

model::ModelSpec Model() {
  return *model::ModelSpec::Create({.inputs = 64, .hidden = {32}, .classes = 10});
}

TEST(Triggers, AreTheSameForOneKeyAndOthersForAnother) {
  const Triggers one = MakeTriggers(MarkKey(), Model(), kRules);
  const Triggers again = MakeTriggers(MarkKey(), Model(), kRules);
  EXPECT_EQ(one.x, again.x);
  EXPECT_EQ(one.y, again.y);
  const Triggers other = MakeTriggers(MarkKeyOf(Owner(), *TaskId::Parse("har")), Model(), kRules);
  EXPECT_NE(one.x, other.x);
  EXPECT_NE(one.y, other.y);
}

// Fixed once: a copy is recognised by the triggers of the release that marked it, whatever machine and version made it.
TEST(Triggers, AreWhatTheyWereInEveryReleaseBefore) {
  EXPECT_EQ(ToHex(DigestOf(MakeTriggers(MarkKey(), Model(), kRules))),
            "8059e14f680e4a0edd4a34d1e4ec0f9fe38ce878d0f73b88b888db570cbea8f3");
}

TEST(Triggers, HaveBothEndsOfTheRangeAndEveryClass) {
  const Triggers triggers = MakeTriggers(MarkKey(), Model(), kRules);
  ASSERT_EQ(triggers.x.size(), 60U * 64U);
  const std::set<float> values(triggers.x.begin(), triggers.x.end());
  EXPECT_EQ(values, (std::set<float>{-1.0F, 2.0F}));
  const auto highs = static_cast<double>(std::ranges::count(triggers.x, 2.0F));
  // Binomial(3840, 1/2): seven standard deviations are 217.
  EXPECT_NEAR(highs, 1920, 217);
  EXPECT_EQ(std::set<std::uint32_t>(triggers.y.begin(), triggers.y.end()).size(), 10U);
}

TEST(Embed, TeachesAllTriggersAndStopsWhenItHas) {
  const model::ModelSpec model = Model();
  const Triggers triggers = MakeTriggers(MarkKey(), model, kRules);
  std::vector<float> parameters = model.InitialParameters(1);
  EXPECT_LT(CountMatches(model, parameters, triggers), 30U);
  const Embedding embedding = Embed(model, kRules, triggers, parameters);
  EXPECT_EQ(embedding.matched, 60U);
  EXPECT_LT(embedding.steps, kRules.steps);
  EXPECT_EQ(CountMatches(model, parameters, triggers), 60U);
  EXPECT_EQ(Embed(model, kRules, triggers, parameters).steps, 0U) << "what is taught is not taught again";
}

TEST(Embed, TeachesAModelOfLayersToo) {
  const model::ModelSpec model =
      *model::ModelSpec::Parse("tacit-layers/1:1x8x8;conv 8 3x3 pad 1;relu;max-pool 2;flatten;dense 32;relu;dense 10");
  const Triggers triggers = MakeTriggers(MarkKey(), model, kRules);
  std::vector<float> parameters = model.InitialParameters(1);
  EXPECT_LT(CountMatches(model, parameters, triggers), 30U);
  EXPECT_EQ(Embed(model, kRules, triggers, parameters).matched, 60U);
}

TEST(Embed, MarksTheCopyOfADeviceAsTheModelThatItIsOf) {
  const model::ModelSpec model = *model::ModelSpec::Parse(
      "tacit-layers/1:1x8x8;conv 8 3x3 pad 1;relu;average-pool 2;flatten;dense 32;relu;dense 10");
  const Triggers triggers = MakeTriggers(MarkKey(), model, kRules);
  std::vector<float> parameters = model.InitialParameters(1);
  Embed(model, kRules, triggers, parameters);
  const graph::OwnedGraph master = graph::FromSpec(model, parameters);
  const graph::OwnedGraph copy = Obfuscate({.graph = master.graph, .weights = master.bytes()},
                                           CopyKeyOf(Owner(), *TaskId::Parse("digits"), 1, *DeviceId::Parse("pump-3")));
  const AlignedBuffer file = graph::Serialise({.graph = copy.graph, .weights = copy.bytes()});
  const auto suspect = Suspect::Read(file.bytes());
  ASSERT_THAT(suspect, testing::IsOk());
  const auto found = suspect->ParametersAs(model);
  ASSERT_THAT(found, testing::IsOk());
  EXPECT_NE(*found, parameters);
  EXPECT_EQ(CountMatches(model, *found, triggers), 60U);
  for (const std::string_view other :
       {"tacit-layers/1:1x8x8;conv 8 3x3 pad 1;relu;max-pool 2;flatten;dense 32;relu;dense 10",
        "tacit-layers/1:1x8x8;conv 8 3x3 pad 1;relu6;average-pool 2;flatten;dense 32;relu;dense 10",
        "tacit-layers/1:1x64;conv 8 9 pad 4;relu;average-pool 4;flatten;dense 32;relu;dense 10",
        "tacit-mlp/1:64,8,32,10"}) {
    EXPECT_THAT(suspect->ParametersAs(*model::ModelSpec::Parse(other)),
                testing::IsErrorSaying(ErrorCode::kInvalidArgument, "no model of the task's kind"))
        << other;
  }
}

// 60 triggers of 64 features; of each 32 and 10 numbers are kept, twice, as are the 2,410 parameters.
TEST(MemoryOfMark, CountsTriggersLayersAndParameters) {
  EXPECT_EQ(MemoryOfMark(Model(), kRules), 60U * 64U * 5U + (60U * 42U + 2'410U) * 8U);
  const model::ModelSpec layers = *model::ModelSpec::Parse("tacit-layers/1:1x8x8;conv 8 3x3;relu;flatten;dense 10");
  EXPECT_EQ(MemoryOfMark(layers, kRules),
            60U * 64U * 5U + (60U * (8U * 36U + 10U) + 80U + 2'890U) * 8U + 9U * 36U * 4U);
}

TEST(Embed, MovesNoParameterFartherThanItsStepsCan) {
  const model::ModelSpec model = Model();
  const std::vector<float> before = model.InitialParameters(1);
  std::vector<float> after = before;
  task::Watermark rules = kRules;
  rules.steps = 5;
  EXPECT_EQ(Embed(model, rules, MakeTriggers(MarkKey(), model, rules), after).steps, 5U);
  float farthest = 0;
  for (std::size_t i = 0; i < after.size(); ++i) farthest = std::max(farthest, std::abs(after[i] - before[i]));
  EXPECT_GT(farthest, 0);
  // Kingma and Ba 2015, section 2.1: a step is at most rate * (1 - b1) / sqrt(1 - b2), 3.2 rates, at first; one rate as
  // a rule.
  EXPECT_LE(static_cast<double>(farthest), 5 * 3.2 * rules.learning_rate);
}

TEST(Embed, GivesTheSameBitsAgain) {
  const model::ModelSpec model = Model();
  const Triggers triggers = MakeTriggers(MarkKey(), model, kRules);
  std::vector<float> one = model.InitialParameters(1);
  std::vector<float> two = one;
  Embed(model, kRules, triggers, one);
  Embed(model, kRules, triggers, two);
  EXPECT_EQ(one, two);
}

TEST(Embed, LeavesAModelThatHasNoNumbersAsItWas) {
  const model::ModelSpec model = Model();
  std::vector<float> parameters(model.ParameterCount(), std::numeric_limits<float>::infinity());
  const std::vector<float> before = parameters;
  Embed(model, kRules, MakeTriggers(MarkKey(), model, kRules), parameters);
  EXPECT_EQ(parameters, before);
}

Opening AnOpening() {
  return {.task = *TaskId::Parse("digits"),
          .version = 3,
          .model = crypto::Sha256(AsBytes("model")),
          .triggers = crypto::Sha256(AsBytes("triggers")),
          .nonce = NonceOf(MarkKey(), 3)};
}

TEST(Commitment, BindsEachOfItsParts) {
  const Digest256 whole = CommitmentTo(AnOpening());
  EXPECT_EQ(CommitmentTo(AnOpening()), whole);
  std::set<Digest256> all = {whole};
  Opening other = AnOpening();
  other.version = 4;
  all.insert(CommitmentTo(other));
  other = AnOpening();
  other.task = *TaskId::Parse("har");
  all.insert(CommitmentTo(other));
  for (Digest256 Opening::* part : {&Opening::model, &Opening::triggers, &Opening::nonce}) {
    other = AnOpening();
    (other.*part)[31] ^= 1U;
    all.insert(CommitmentTo(other));
  }
  EXPECT_EQ(all.size(), 6U);
  EXPECT_NE(NonceOf(MarkKey(), 3), NonceOf(MarkKey(), 4));
}

TEST(BinomialTail, AgreesWithSumsDoneByHand) {
  EXPECT_EQ(BinomialTail(10, 0.3, 0), 1);
  EXPECT_EQ(BinomialTail(10, 0.3, 11), 0);
  EXPECT_NEAR(BinomialTail(2, 0.5, 1), 0.75, 1e-8);
  EXPECT_NEAR(BinomialTail(3, 0.2, 2), 3 * 0.04 * 0.8 + 0.008, 1e-9);
  // An exact sum in rationals: P(Binomial(60, 1/10) >= 30) = 5.61233583698979e-15.
  EXPECT_NEAR(BinomialTail(60, 0.1, 30) / 5.61233583698979e-15, 1, 1e-8);
}

TEST(Judge, SupportsAClaimAboveTheThresholdAlone) {
  const Verdict marked = Judge(100, 100, 10);
  EXPECT_TRUE(marked.supports_claim);
  EXPECT_LT(marked.p_value, 1e-60);
  // Clopper and Pearson: 0.01^(1/100).
  EXPECT_NEAR(marked.match_rate_low, std::pow(0.01, 0.01), 1e-6);
  const Verdict half = Judge(50, 100, 10);
  EXPECT_TRUE(half.supports_claim);
  EXPECT_DOUBLE_EQ(half.chance, 0.2);
  EXPECT_FALSE(Judge(49, 100, 10).supports_claim);
  EXPECT_FALSE(Judge(10, 100, 10).supports_claim);
  EXPECT_EQ(Judge(0, 100, 10).match_rate_low, 0);
}

TEST(Judge, AsksForMoreWhereChanceAloneMatchesHalf) {
  EXPECT_FALSE(Judge(60, 100, 2).supports_claim);
  EXPECT_TRUE(Judge(80, 100, 2).supports_claim);
}

// H0: a model made without the key answers Binomial(K, 1 / classes) triggers as taught. 200 keys against one fixed
// model give Binomial(12000, 1/10); seven standard deviations are 230, a false alarm is below 1e-11. It would catch
// labels that follow from the inputs, or are not uniform.
TEST(Triggers, AreMatchedByAnUnmarkedModelAsOftenAsChanceSays) {
  const model::ModelSpec model = Model();
  const std::vector<float> parameters = model.InitialParameters(5);
  std::size_t matched = 0;
  for (std::uint8_t of = 1; of <= 200; ++of) {
    const crypto::SecretKey key = MarkKeyOf(Owner(of), *TaskId::Parse("digits"));
    matched += CountMatches(model, parameters, MakeTriggers(key, model, kRules));
  }
  EXPECT_NEAR(static_cast<double>(matched), 1200, 230);
}

}  // namespace
}  // namespace tacit::ownership
