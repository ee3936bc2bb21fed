#include "proto/codec/agent.h"

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "tacit/v1/agent.pb.h"
#include "tests/support/matchers.h"
#include "tests/unit/codec/edited.h"
#include "tests/unit/codec/samples.h"

namespace tacit::codec {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;

Bytes EditedLease(const std::function<void(v1::Lease&)>& edit, const Lease& lease = samples::SomeLease()) {
  return Edited<v1::CheckInResponse>(CheckInReply(lease),
                                     [&](v1::CheckInResponse& reply) { edit(*reply.mutable_lease()); });
}

TEST(CheckInRequest, ComesBackAsItWasSent) {
  EXPECT_EQ(ParseCheckInRequest(Encode(samples::SomeCheckIn())), samples::SomeCheckIn());
  const CheckInRequest smallest{};
  EXPECT_EQ(ParseCheckInRequest(Encode(smallest)), smallest);
}

TEST(CheckInRequest, RefusesAnotherProtocolVersion) {
  const auto bytes = Edited<v1::CheckInRequest>(samples::SomeCheckIn(), [](auto& m) { m.set_protocol_version(2); });
  EXPECT_THAT(ParseCheckInRequest(bytes), IsErrorSaying(ErrorCode::kInvalidArgument, "protocol_version 2"));
  EXPECT_THAT(ParseCheckInRequest({}), IsErrorSaying(ErrorCode::kInvalidArgument, "protocol_version 0"));
}

TEST(CheckInRequest, NamesTheFieldThatIsOutOfRange) {
  const std::vector<std::pair<std::string, std::function<void(v1::CheckInRequest&)>>> cases = {
      {"agent_version", [](auto& m) { m.set_agent_version(std::string(kMaxAgentVersionBytes + 1, 'x')); }},
      {"agent_version", [](auto& m) { m.set_agent_version("a\x1b[2J"); }},
      {"a task name", [](auto& m) { m.set_task("../har"); }},
      {"inputs", [](auto& m) { m.set_inputs(kMaxLayerWidth + 1); }},
      {"classes", [](auto& m) { m.set_classes(kMaxLayerWidth + 1); }},
      {"a task name", [](auto& m) { m.add_declined("../har"); }},
      {"declined must be at most 32 tasks",
       [](auto& m) {
         m.mutable_declined()->Reserve(40);
         for (int i = 0; i < 33; ++i) m.add_declined("t");
       }},
  };
  for (const auto& [field, edit] : cases) {
    EXPECT_THAT(ParseCheckInRequest(Edited<v1::CheckInRequest>(samples::SomeCheckIn(), edit)),
                IsErrorSaying(ErrorCode::kInvalidArgument, field));
  }
}

TEST(CheckInRequest, SkipsFieldsOfLaterVersions) {
  Bytes bytes = Encode(samples::SomeCheckIn());
  const Bytes field_200 = {0xc2, 0x0c, 0x03, 'n', 'e', 'w'};  // field 200, length-delimited, 3 bytes
  bytes.insert(bytes.end(), field_200.begin(), field_200.end());
  EXPECT_EQ(ParseCheckInRequest(bytes), samples::SomeCheckIn());
}

TEST(CheckInRequest, RefusesALongBodyBeforeParsingAndBytesThatAreNoMessage) {
  EXPECT_THAT(ParseCheckInRequest(Bytes(kMaxCheckInRequestBytes + 1)), IsError(ErrorCode::kTooLarge));
  EXPECT_THAT(ParseCheckInRequest(Bytes{0xff, 0xff}), IsError(ErrorCode::kMalformed));
  Bytes cut = Encode(samples::SomeCheckIn());
  cut.resize(5);
  EXPECT_THAT(ParseCheckInRequest(cut), IsError(ErrorCode::kMalformed));
}

TEST(CheckInRequest, RefusesTextThatIsNotUtf8WithoutWritingToStderr) {
  const auto bytes = Edited<v1::CheckInRequest>(samples::SomeCheckIn(), [](auto& m) { m.set_agent_version("abcd"); });
  Bytes broken = bytes;
  for (std::size_t i = 0; i + 3 < broken.size(); ++i) {
    if (AsText(ByteSpan(broken).subspan(i, 4)) == "abcd") broken[i] = 0xff;
  }
  ::testing::internal::CaptureStderr();
  EXPECT_THAT(ParseCheckInRequest(broken), IsError(ErrorCode::kMalformed));
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(CheckInReply, ALeaseComesBackAsItWasSent) {
  const CheckInReply reply = samples::SomeLease();
  EXPECT_EQ(ParseCheckInReply(Encode(reply)), reply);
}

TEST(CheckInReply, EveryMechanismComesBackAsItWasSent) {
  for (const auto mechanism : {Mechanism::kNone, Mechanism::kGaussian, Mechanism::kLaplace}) {
    Lease lease = samples::SomeLease();
    lease.mechanism = mechanism;
    EXPECT_EQ(ParseCheckInReply(Encode(CheckInReply(lease))), CheckInReply(lease));
  }
  for (const auto mechanism : {Mechanism::kGaussian, Mechanism::kLaplace}) {
    const CheckInReply reply = samples::NoisyLease(mechanism);
    EXPECT_EQ(ParseCheckInReply(Encode(reply)), reply);
  }
}

TEST(CheckInReply, ALeaseSaysHowManyEntriesASparseUpdateHas) {
  Lease lease = samples::SomeLease();
  lease.top_k = 337;
  EXPECT_EQ(ParseCheckInReply(Encode(CheckInReply(lease))), CheckInReply(lease));
  lease.top_k = 3'372;
  EXPECT_THAT(ParseCheckInReply(Encode(CheckInReply(lease))), IsOk());
  ++lease.top_k;
  EXPECT_THAT(ParseCheckInReply(Encode(CheckInReply(lease))), IsErrorSaying(ErrorCode::kInvalidArgument, "top_k"));
  Lease noisy = samples::NoisyLease();
  noisy.top_k = 1;
  EXPECT_THAT(ParseCheckInReply(Encode(CheckInReply(noisy))),
              IsErrorSaying(ErrorCode::kInvalidArgument, "top_k must be 0 where the device adds noise"));
}

TEST(CheckInReply, ALeaseSaysThatCompressedPayloadsAreTaken) {
  Lease lease = samples::NoisyLease();
  lease.takes_zstd = true;
  EXPECT_EQ(ParseCheckInReply(Encode(CheckInReply(lease))), CheckInReply(lease));
}

Lease HardLease() {
  Lease lease = samples::SomeLease();
  lease.model = {
      .inputs = 64, .hidden = {}, .classes = 6, .layers = "tacit-layers/1:1x8x8;conv 4 3x3;relu;flatten;dense 6"};
  lease.training.adversarial =
      Adversarial{.epsilon = 0.1, .steps = 5, .step_size = 0.05, .share = 0.5, .input_min = -1, .input_max = 1};
  return lease;
}

TEST(CheckInReply, ALeaseOfLayersAndOfHardenedTrainingComesBackAsItWasSent) {
  const CheckInReply reply = HardLease();
  EXPECT_EQ(ParseCheckInReply(Encode(reply)), reply);
}

TEST(CheckInReply, NamesTheFieldOfLayersOrHardenedTrainingThatIsOutOfRange) {
  const auto hard = [](auto change) {
    return [change](v1::Lease& m) { change(*m.mutable_training()->mutable_adversarial()); };
  };
  const std::vector<std::pair<std::string, std::function<void(v1::Lease&)>>> cases = {
      {"model.layers", [](auto& m) { m.mutable_model()->set_layers(std::string(kMaxModelTextBytes + 1, 'x')); }},
      {"model.layers", [](auto& m) { m.mutable_model()->set_layers("a\x1b[2J"); }},
      {"model.hidden must be empty where model.layers says all", [](auto& m) { m.mutable_model()->add_hidden(4); }},
      {"adversarial.epsilon", hard([](auto& m) { m.set_epsilon(0); })},
      {"adversarial.epsilon", hard([](auto& m) { m.set_epsilon(2 * kMostInput); })},
      {"adversarial.steps", hard([](auto& m) { m.set_steps(0); })},
      {"adversarial.steps", hard([](auto& m) { m.set_steps(kMaxAdversarialSteps + 1); })},
      {"adversarial.step_size", hard([](auto& m) { m.set_step_size(std::nan("")); })},
      {"adversarial.share", hard([](auto& m) { m.set_share(0); })},
      {"adversarial.share", hard([](auto& m) { m.set_share(1.01); })},
      {"adversarial.input_min", hard([](auto& m) { m.set_input_min(-2 * kMostInput); })},
      {"adversarial.input_max must be above adversarial.input_min", hard([](auto& m) { m.set_input_max(-1); })},
      {"adversarial.input_max", hard([](auto& m) {
         m.set_input_min(999'999);
         m.set_input_max(999'999.0000001);
       })},
  };
  for (const auto& [field, edit] : cases) {
    EXPECT_THAT(ParseCheckInReply(EditedLease(edit, HardLease())), IsErrorSaying(ErrorCode::kInvalidArgument, field));
  }
}

TEST(CheckInReply, NamesTheFieldOfLocalNoiseThatIsOutOfRange) {
  const std::vector<std::pair<std::string, std::function<void(v1::Lease&)>>> cases = {
      {"local must be absent where the server adds noise", [](auto& m) { m.set_mechanism(v1::MECHANISM_GAUSSIAN); }},
      {"local.mechanism", [](auto& m) { m.mutable_local()->set_mechanism(v1::MECHANISM_NONE); }},
      {"mechanism 0", [](auto& m) { m.mutable_local()->clear_mechanism(); }},
      {"local.noise_multiplier", [](auto& m) { m.mutable_local()->set_noise_multiplier(0); }},
      {"local.noise_multiplier",
       [](auto& m) { m.mutable_local()->set_noise_multiplier(std::numeric_limits<double>::quiet_NaN()); }},
      {"local.delta", [](auto& m) { m.mutable_local()->set_delta(0); }},
      {"local.delta", [](auto& m) { m.mutable_local()->set_delta(1); }},
      {"local.max_releases", [](auto& m) { m.mutable_local()->set_max_releases(0); }},
  };
  for (const auto& [field, edit] : cases) {
    EXPECT_THAT(ParseCheckInReply(EditedLease(edit, samples::NoisyLease())),
                IsErrorSaying(ErrorCode::kInvalidArgument, field));
  }
}

TEST(CheckInReply, AWaitComesBackWithAReasonThatAnyAgentCanRead) {
  const CheckInReply plain = Wait{.retry_after = Millis(1'500), .reason = "round 7 waits for 3 of 21 devices"};
  EXPECT_EQ(ParseCheckInReply(Encode(plain)), plain);

  const auto long_reason =
      ParseCheckInReply(Encode(CheckInReply(Wait{.reason = "\xff\x01" + std::string(2'000, 'x')})));
  ASSERT_THAT(long_reason, IsOk());
  EXPECT_EQ(std::get<Wait>(*long_reason).reason, "??" + std::string(kMaxReasonBytes - 2, 'x'));
}

TEST(CheckInReply, RefusesAnOutcomeItDoesNotKnow) {
  EXPECT_THAT(ParseCheckInReply({}), IsErrorSaying(ErrorCode::kMalformed, "neither a lease nor a wait"));
}

TEST(CheckInReply, NamesTheLeaseFieldThatIsOutOfRange) {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<std::pair<std::string, std::function<void(v1::Lease&)>>> cases = {
      {"a task name", [](auto& m) { m.set_task(""); }},
      {"round", [](auto& m) { m.set_round(0); }},
      {"model_version", [](auto& m) { m.set_model_version(7); }},
      {"model_digest must be 32 bytes, not 31", [](auto& m) { m.set_model_digest(std::string(31, 'x')); }},
      {"model_bytes", [](auto& m) { m.set_model_bytes(0); }},
      {"model_bytes", [](auto& m) { m.set_model_bytes(6); }},
      {"model_bytes", [](auto& m) { m.set_model_bytes(kMaxPayloadBytes + 4); }},
      {"schema_digest must be 16 bytes, not 17", [](auto& m) { m.set_schema_digest(std::string(17, 'x')); }},
      {"model.inputs", [](auto& m) { m.mutable_model()->set_inputs(0); }},
      {"model.classes", [](auto& m) { m.mutable_model()->set_classes(kMaxLayerWidth + 1); }},
      {"model.hidden", [](auto& m) { m.mutable_model()->set_hidden(1, 0); }},
      {"model.hidden must have at most 8 layers, not 9",
       [](auto& m) { m.mutable_model()->mutable_hidden()->Resize(9, 4); }},
      {"training.epochs", [](auto& m) { m.mutable_training()->set_epochs(0); }},
      {"training.batch_size", [](auto& m) { m.mutable_training()->set_batch_size(kMaxBatchSize + 1); }},
      {"training.learning_rate", [](auto& m) { m.mutable_training()->set_learning_rate(0); }},
      {"training.momentum", [](auto& m) { m.mutable_training()->set_momentum(1); }},
      {"training.proximal_mu", [](auto& m) { m.mutable_training()->set_proximal_mu(-1e-9); }},
      {"mechanism 0", [](auto& m) { m.set_mechanism(v1::MECHANISM_UNSPECIFIED); }},
      {"mechanism 9", [](auto& m) { m.set_mechanism(static_cast<v1::Mechanism>(9)); }},
      {"clip_norm", [](auto& m) { m.set_clip_norm(0); }},
      {"clip_norm", [=](auto& m) { m.set_clip_norm(infinity); }},
      {"clip_norm", [](auto& m) { m.set_clip_norm(std::numeric_limits<double>::quiet_NaN()); }},
      {"grid_radius must be a power of two", [](auto& m) { m.set_grid_radius(3'000); }},
      {"grid_radius must be from", [](auto& m) { m.set_grid_radius(512); }},
      {"deadline_ms", [](auto& m) { m.set_deadline_ms(std::numeric_limits<std::uint64_t>::max()); }},
  };
  for (const auto& [field, edit] : cases) {
    EXPECT_THAT(ParseCheckInReply(EditedLease(edit)), IsErrorSaying(ErrorCode::kInvalidArgument, field));
  }
}

TEST(CheckInReply, RefusesAWaitLongerThanADay) {
  const auto bytes = Edited<v1::CheckInResponse>(CheckInReply(Wait{}), [](auto& m) {
    m.mutable_wait()->set_retry_after_ms(static_cast<std::uint32_t>(kMaxRetryAfter.count()) + 1);
  });
  EXPECT_THAT(ParseCheckInReply(bytes), IsErrorSaying(ErrorCode::kInvalidArgument, "wait.retry_after_ms"));
}

TEST(UpdateHeader, ComesBackAsItWasSentInEveryEncoding) {
  UpdateHeader header = samples::SomeHeader();
  for (const Encoding encoding :
       {Encoding::kFloat32, Encoding::kGridInt32, Encoding::kGridInt16, Encoding::kGridInt8}) {
    header.encoding = encoding;
    header.shift = LargestShift(encoding);
    header.payload_bytes = 5 * EntryBytes(encoding);
    EXPECT_EQ(ParseUpdateHeader(Encode(header)), header);
    ++header.shift;
    EXPECT_THAT(ParseUpdateHeader(Encode(header)), IsErrorSaying(ErrorCode::kInvalidArgument, "shift"));
  }
}

TEST(UpdateHeader, HasOneSizeWhateverItSaysOfTheData) {
  UpdateHeader header = samples::SomeHeader();
  header.encoding = Encoding::kGridInt8;
  header.clipped = false;
  header.shift = 0;
  const std::size_t size = Encode(header).size();
  header.clipped = true;
  EXPECT_EQ(Encode(header).size(), size);
  header.shift = LargestShift(header.encoding);
  EXPECT_EQ(Encode(header).size(), size);
  header.sparse = true;
  EXPECT_EQ(Encode(header).size(), size);
  header.zstd = true;
  EXPECT_EQ(Encode(header).size(), size);
  EXPECT_EQ(ParseUpdateHeader(Encode(header)), header);
}

TEST(UpdateHeader, OfASparseUpdateHasNoWholeNumberOfEntries) {
  UpdateHeader header = samples::SomeHeader();
  header.sparse = true;
  for (const Encoding encoding : {Encoding::kGridInt32, Encoding::kGridInt16, Encoding::kGridInt8}) {
    header.encoding = encoding;
    for (const std::uint64_t parameters : {std::uint64_t{1}, std::uint64_t{3'372}, kMaxParameters}) {
      header.payload_bytes = SparsePayloadBytes(encoding, parameters, parameters / 3 + 1);
      EXPECT_EQ(ParseUpdateHeader(Encode(header)), header);
    }
  }
  header.payload_bytes = 1;
  EXPECT_THAT(ParseUpdateHeader(Encode(header)), IsErrorSaying(ErrorCode::kInvalidArgument, "payload_bytes"));
  header.payload_bytes = kMaxSparsePayloadBytes + 1;
  EXPECT_THAT(ParseUpdateHeader(Encode(header)), IsErrorSaying(ErrorCode::kInvalidArgument, "payload_bytes"));
  header.payload_bytes = 16;
  header.encoding = Encoding::kFloat32;
  EXPECT_THAT(ParseUpdateHeader(Encode(header)),
              IsErrorSaying(ErrorCode::kInvalidArgument, "sparse must be false with float32"));
}

TEST(UpdateHeader, TakesAnyClaimedExampleCount) {
  UpdateHeader header = samples::SomeHeader();
  header.example_count = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(ParseUpdateHeader(Encode(header)), header);
}

TEST(UpdateHeader, NamesTheFieldThatIsOutOfRange) {
  const std::vector<std::pair<std::string, std::function<void(v1::UpdateHeader&)>>> cases = {
      {"schema_digest", [](auto& m) { m.clear_schema_digest(); }},
      {"encoding 0", [](auto& m) { m.clear_encoding(); }},
      {"encoding 5", [](auto& m) { m.set_encoding(static_cast<v1::Encoding>(5)); }},
      {"payload_bytes", [](auto& m) { m.set_payload_bytes(0); }},
      {"payload_bytes", [](auto& m) { m.set_payload_bytes(13); }},
      {"payload_bytes", [](auto& m) { m.set_payload_bytes(kMaxPayloadBytes + 4); }},
      {"payload_bytes must be a multiple of 2, not 13",
       [](auto& m) {
         m.set_encoding(v1::ENCODING_GRID_INT16);
         m.set_payload_bytes(13);
       }},
      {"payload_bytes",
       [](auto& m) {
         m.set_encoding(v1::ENCODING_GRID_INT8);
         m.set_payload_bytes(kMaxParameters + 1);
       }},
      {"payload_digest must be 16 bytes, not 32", [](auto& m) { m.set_payload_digest(std::string(32, 'x')); }},
  };
  for (const auto& [field, edit] : cases) {
    EXPECT_THAT(ParseUpdateHeader(Edited<v1::UpdateHeader>(samples::SomeHeader(), edit)),
                IsErrorSaying(ErrorCode::kInvalidArgument, field));
  }
}

TEST(UpdateAck, ComesBackAndAnUnknownStatusIsNotTakenForCounted) {
  EXPECT_EQ(ParseUpdateAck(Encode(UpdateAck{})), UpdateAck{});
  EXPECT_THAT(ParseUpdateAck({}), IsError(ErrorCode::kInvalidArgument));
  const auto unknown =
      Edited<v1::UpdateAck>(UpdateAck{}, [](auto& m) { m.set_status(static_cast<v1::UpdateAck::Status>(2)); });
  EXPECT_THAT(ParseUpdateAck(unknown), IsErrorSaying(ErrorCode::kInvalidArgument, "status 2"));
}

TEST(AgentMessages, TheLargestMessagesOfThisVersionFitTheirLimits) {
  Lease lease = samples::SomeLease();
  lease.task = *TaskId::Parse(std::string(63, 't'));
  lease.model.hidden.assign(kMaxHiddenLayers, kMaxLayerWidth);
  lease.max_examples = std::numeric_limits<std::uint64_t>::max();
  lease.local = samples::NoisyLease().local;
  lease.top_k = std::numeric_limits<std::uint32_t>::max();
  EXPECT_LE(Encode(CheckInReply(lease)).size(), kMaxCheckInReplyBytes);
  lease.model = HardLease().model;
  lease.model.layers.assign(kMaxModelTextBytes, 'x');
  lease.training.adversarial = HardLease().training.adversarial;
  EXPECT_LE(Encode(CheckInReply(lease)).size(), kMaxCheckInReplyBytes);
  EXPECT_LE(Encode(CheckInReply(Wait{.reason = std::string(kMaxReasonBytes, 'r')})).size(), kMaxCheckInReplyBytes);
  CheckInRequest request = samples::SomeCheckIn();
  request.agent_version.assign(kMaxAgentVersionBytes, 'v');
  request.declined.assign(kMaxDeclined, *TaskId::Parse(std::string(63, 't')));
  EXPECT_LE(Encode(request).size(), kMaxCheckInRequestBytes);
}

}  // namespace
TEST(PrivacyReply, ComesBackWithAnInfiniteEpsilonAndWithinItsLimits) {
  PrivacyReply reply;
  reply.tasks = {{.task = *TaskId::Parse("har"),
                  .mechanism = Mechanism::kGaussian,
                  .rounds = 3,
                  .max_participations = 5,
                  .epsilon = 1.5,
                  .delta = 1e-6},
                 {.task = *TaskId::Parse("open"), .epsilon = std::numeric_limits<double>::infinity()},
                 {.task = *TaskId::Parse("own"), .rounds = 1, .epsilon = 2, .delta = 1e-6, .local = true}};
  EXPECT_EQ(ParsePrivacyReply(Encode(reply)), reply);
  EXPECT_EQ(ParsePrivacyReply({}), PrivacyReply{});
  reply.tasks.resize(kMaxTaskSpends + 1, reply.tasks.front());
  const auto cut = ParsePrivacyReply(Encode(reply));
  ASSERT_THAT(cut, IsOk());
  EXPECT_EQ(cut->tasks.size(), kMaxTaskSpends);
}

TEST(PrivacyReply, RefusesNumbersThatCannotBe) {
  const PrivacyReply reply{.tasks = {{.task = *TaskId::Parse("har"), .epsilon = 1}}};
  const auto with = [&](auto change) {
    return ParsePrivacyReply(Edited<v1::PrivacyResponse>(reply, [&](auto& m) { change(*m.mutable_tasks(0)); }));
  };
  EXPECT_THAT(with([](auto& t) { t.set_epsilon(-1); }), IsErrorSaying(ErrorCode::kInvalidArgument, "epsilon"));
  EXPECT_THAT(with([](auto& t) { t.set_epsilon(std::nan("")); }),
              IsErrorSaying(ErrorCode::kInvalidArgument, "epsilon"));
  EXPECT_THAT(with([](auto& t) { t.set_delta(2); }), IsErrorSaying(ErrorCode::kInvalidArgument, "delta"));
  EXPECT_THAT(with([](auto& t) { t.set_task("../x"); }), IsError(ErrorCode::kInvalidArgument));
  EXPECT_THAT(with([](auto& t) { t.clear_mechanism(); }), IsError(ErrorCode::kInvalidArgument));
}

}  // namespace tacit::codec
