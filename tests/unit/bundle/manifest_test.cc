#include "common/bundle/manifest.h"

#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/matchers.h"
#include "tests/unit/bundle/fixtures.h"

namespace tacit::bundle {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using testing::DigestOf;
using testing::Server;

ManifestFields AllFields() {
  return {.model = *ModelName::Parse("har"),
          .task = *TaskId::Parse("har-2"),
          .version = 7,
          .minimum_version = 3,
          .engine_format = 1,
          .plaintext_size = 100'000,
          .plaintext_digest = DigestOf(1),
          .schema_digest = DigestOf(2),
          .content_key = DigestOf(3),
          .predecessor = DigestOf(4),
          .receipt = DigestOf(5),
          .detector_calibration = DigestOf(6),
          .detectors_size = 4'000,
          .watermark_commitment = DigestOf(7),
          .device = *DeviceId::Parse("pump-3"),
          .made_at = WallTime(Millis(1'790'000'000'000))};
}

std::string Times32(std::string_view byte) {
  std::string text;
  for (int i = 0; i < 32; ++i) text += byte;
  return text;
}

std::string Golden() {
  return R"({"chunk_size":65536,"cipher":"aes-256-gcm","content_key":")" + Times32("03") +
         R"(","detector_calibration":")" + Times32("06") +
         R"(","detectors_size":4000,"device":"pump-3","engine_format":1,"made_at_ms":1790000000000,)" +
         R"("minimum_version":3,"model":"har",)" + R"("plaintext_sha256":")" + Times32("01") +
         R"(","plaintext_size":100000,"predecessor":")" + Times32("04") + R"(","receipt":")" + Times32("05") +
         R"(","schema":")" + Times32("02") + R"(","task":"har-2","version":7,"watermark_commitment":")" +
         Times32("07") + R"("})";
}

TEST(Manifest, HasOneText) {
  const auto manifest = Manifest::Create(AllFields());
  ASSERT_THAT(manifest, IsOk());
  EXPECT_EQ(manifest->json(), Golden());
  EXPECT_EQ(manifest->digest(), crypto::Sha256(AsBytes(Golden())));
  const auto parsed = Manifest::Parse(Golden());
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(parsed->json(), Golden());
  EXPECT_EQ(parsed->fields().device->str(), "pump-3");
}

TEST(Manifest, LeavesOutWhatThereIsNot) {
  const Manifest manifest = Server().MakeManifest(Bytes(5, 1), [](ManifestFields& fields) { fields.receipt.reset(); });
  for (const char* name :
       {"device", "predecessor", "receipt", "detector_calibration", "detectors_size", "watermark_commitment"})
    EXPECT_EQ(manifest.json().find(name), std::string::npos) << name;
  const auto parsed = Manifest::Parse(manifest.json());
  ASSERT_THAT(parsed, IsOk());
  EXPECT_FALSE(parsed->fields().device.has_value());
  EXPECT_EQ(parsed->digest(), manifest.digest());
}

TEST(Manifest, IsAnotherForEachFieldThatChanges) {
  const std::vector<Server::Change> changes = {
      [](ManifestFields& fields) { fields.model = *ModelName::Parse("ecg"); },
      [](ManifestFields& fields) { fields.task = *TaskId::Parse("ecg"); },
      [](ManifestFields& fields) { fields.version = 8; },
      [](ManifestFields& fields) { fields.minimum_version = 4; },
      [](ManifestFields& fields) { fields.engine_format = 2; },
      [](ManifestFields& fields) { fields.plaintext_size = 4'001; },
      [](ManifestFields& fields) { fields.plaintext_digest = DigestOf(9); },
      [](ManifestFields& fields) { fields.schema_digest = DigestOf(9); },
      [](ManifestFields& fields) { fields.content_key = DigestOf(9); },
      [](ManifestFields& fields) { fields.predecessor = DigestOf(9); },
      [](ManifestFields& fields) { fields.receipt.reset(); },
      [](ManifestFields& fields) { fields.detector_calibration = DigestOf(9); },
      [](ManifestFields& fields) { fields.detectors_size = 4'001; },
      [](ManifestFields& fields) {
        fields.detector_calibration.reset();
        fields.detectors_size = 0;
      },
      [](ManifestFields& fields) { fields.watermark_commitment.reset(); },
      [](ManifestFields& fields) { fields.device.reset(); },
      [](ManifestFields& fields) { fields.made_at += Millis(1); },
  };
  std::set<Digest256> digests{Manifest::Create(AllFields())->digest()};
  for (const Server::Change& change : changes) {
    ManifestFields fields = AllFields();
    change(fields);
    const auto manifest = Manifest::Create(std::move(fields));
    ASSERT_THAT(manifest, IsOk());
    EXPECT_THAT(Manifest::Parse(manifest->json()), IsOk());
    EXPECT_TRUE(digests.insert(manifest->digest()).second) << manifest->json();
  }
}

TEST(Manifest, RefusesNumbersOutOfRange) {
  const std::vector<std::pair<std::string, Server::Change>> changes = {
      {"'version' must be 1 to", [](ManifestFields& fields) { fields.version = 0; }},
      {"'version' must be", [](ManifestFields& fields) { fields.version = std::uint64_t{1} << 53U; }},
      {"'minimum_version' must be 1 to 7, not 8", [](ManifestFields& fields) { fields.minimum_version = 8; }},
      {"'minimum_version' must be", [](ManifestFields& fields) { fields.minimum_version = 0; }},
      {"'engine_format' must be", [](ManifestFields& fields) { fields.engine_format = 0; }},
      {"'plaintext_size' must be", [](ManifestFields& fields) { fields.plaintext_size = 0; }},
      {"'plaintext_size' must be", [](ManifestFields& fields) { fields.plaintext_size = kMostPlaintext + 1; }},
      {"stand together", [](ManifestFields& fields) { fields.detectors_size = 0; }},
      {"stand together", [](ManifestFields& fields) { fields.detector_calibration.reset(); }},
      {"leave room for a model, not 100000", [](ManifestFields& fields) { fields.detectors_size = 100'000; }},
      {"'detectors_size' must be",
       [](ManifestFields& fields) {
         fields.plaintext_size = kMostPlaintext;
         fields.detectors_size = kMostDetectors + 1;
       }},
      {"'made_at_ms' must be", [](ManifestFields& fields) { fields.made_at = WallTime(Millis(-1)); }},
  };
  for (const auto& [message, change] : changes) {
    ManifestFields fields = AllFields();
    change(fields);
    EXPECT_THAT(Manifest::Create(std::move(fields)), IsErrorSaying(ErrorCode::kInvalidArgument, message));
  }
}

struct Edit {
  std::string_view from;
  std::string_view to;
};

std::string Edited(const std::string& text, const Edit& edit) {
  const std::size_t at = text.find(edit.from);
  EXPECT_NE(at, std::string::npos) << edit.from;
  return std::string(text).replace(at, edit.from.size(), edit.to);
}

// Each is JSON with the same meaning to some reader, or with another one to another.
constexpr Edit kOtherForms[] = {
    {.from = "{\"chunk", .to = "{ \"chunk"},
    {.from = ",\"version\":7", .to = ",\"version\":7 "},
    {.from = ",\"version\":7", .to = ",\n\"version\":7"},
    {.from = ",\"version\":7", .to = ",\"version\":7.0"},
    {.from = ",\"version\":7", .to = ",\"version\":70e-1"},
    {.from = ",\"version\":7", .to = ",\"version\":07"},
    {.from = ",\"version\":7", .to = ",\"version\":+7"},
    {.from = ",\"version\":7", .to = ",\"version\":-7"},
    {.from = ",\"version\":7", .to = ",\"version\":\"7\""},
    {.from = ",\"version\":7", .to = ",\"version\":18446744073709551616"},
    {.from = ",\"version\":7", .to = ",\"version\":9007199254740992"},
    {.from = ",\"version\":7", .to = ",\"version\":9,\"version\":7"},
    {.from = ",\"version\":7", .to = ",\"version\":7,\"version\":7"},
    {.from = ",\"version\":7", .to = ",\"version\":7,\"vf\":1"},
    {.from = ",\"version\":7", .to = ""},
    {.from = ",\"detectors_size\":4000", .to = ",\"detectors_size\":04000"},
    {.from = "\"har\"", .to = "\"h\\u0061r\""},
    {.from = "\"har\"", .to = "\"HAR\""},
    {.from = "\"har\"", .to = "null"},
    {.from = "\"pump-3\"", .to = "null"},
    {.from = "\"pump-3\"", .to = "\"../pump\""},
    {.from = "65536", .to = "65537"},
    {.from = "aes-256-gcm", .to = "aes-128-gcm"},
    {.from = "0101", .to = "01"},
    {.from = "0606", .to = "zz06"},
};

TEST(Manifest, RefusesEveryOtherForm) {
  ASSERT_THAT(Manifest::Parse(Golden()), IsOk());
  for (const Edit& edit : kOtherForms)
    EXPECT_THAT(Manifest::Parse(Edited(Golden(), edit)), IsError(ErrorCode::kMalformed)) << edit.to;
  EXPECT_THAT(Manifest::Parse(Golden() + "\n"), IsErrorSaying(ErrorCode::kMalformed, "not in its canonical form"));
  EXPECT_THAT(Manifest::Parse(Golden() + "{}"), IsErrorSaying(ErrorCode::kMalformed, "not a JSON object"));
  EXPECT_THAT(Manifest::Parse(""), IsError(ErrorCode::kMalformed));
  EXPECT_THAT(Manifest::Parse(std::string(4097, ' ')), IsError(ErrorCode::kTooLarge));
  // Members in another order.
  EXPECT_THAT(Manifest::Parse(Edited(
                  Edited(Golden(), {.from = "\"chunk_size\":65536,", .to = ""}),
                  {.from = "\"cipher\":\"aes-256-gcm\"", .to = "\"cipher\":\"aes-256-gcm\",\"chunk_size\":65536"})),
              IsErrorSaying(ErrorCode::kMalformed, "from byte 3 on"));
}

TEST(Statement, IsOfTheFormThatInTotoAsksFor) {
  const Manifest manifest = *Manifest::Create(AllFields());
  const std::string text = R"({"_type":"https://in-toto.io/Statement/v1","predicate":)" + Golden() +
                           R"(,"predicateType":"https://tacit.dev/model-bundle/v1","subject":[{"digest":{"sha256":")" +
                           Times32("01") + R"("},"name":"model"}]})";
  EXPECT_EQ(ToStatement(manifest), text);
  const auto parsed = ParseStatement(text);
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(parsed->digest(), manifest.digest());
}

TEST(Statement, RefusesAnotherSubjectTypeOrForm) {
  const std::string text = ToStatement(*Manifest::Create(AllFields()));
  for (const Edit& edit : kOtherForms)
    EXPECT_THAT(ParseStatement(Edited(text, edit)), IsError(ErrorCode::kMalformed)) << edit.to;
  for (const Edit& edit : {
           Edit{.from = "Statement/v1", .to = "Statement/v2"},
           Edit{.from = "bundle/v1", .to = "bundle/v2"},
           Edit{.from = "\"name\":\"model\"", .to = "\"name\":\"other\""},
           Edit{.from = "{\"sha256\":\"01", .to = "{\"sha256\":\"02"},
           Edit{.from = "\"predicate\":{", .to = "\"predicate\":[],\"x\":{"},
           Edit{.from = "\"predicate\":{", .to = "\"x\":{"},
       }) {
    EXPECT_THAT(ParseStatement(Edited(text, edit)), IsError(ErrorCode::kMalformed)) << edit.to;
  }
}

TEST(ContentKeyId, IsAnotherForEachKeyAndNotTheKey) {
  const crypto::SecretKey key = *crypto::SecretKey::FromBytes(Bytes(32, 1));
  EXPECT_NE(ContentKeyId(key), ContentKeyId(*crypto::SecretKey::FromBytes(Bytes(32, 2))));
  EXPECT_NE(ContentKeyId(key), DigestOf(1));
  EXPECT_NE(ContentKeyId(key), crypto::Sha256(key.bytes()));
}

}  // namespace
}  // namespace tacit::bundle
