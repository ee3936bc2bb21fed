#include "proto/codec/enrolment.h"

#include <functional>
#include <string>
#include <vector>

#include "tacit/v1/enrolment.pb.h"
#include "tests/support/matchers.h"
#include "tests/unit/codec/edited.h"
#include "tests/unit/codec/samples.h"

namespace tacit::codec {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;

TEST(EnrolRequest, ComesBackAsItWasSentWithAndWithoutALabel) {
  EnrolRequest request = samples::SomeEnrolment();
  EXPECT_EQ(ParseEnrolRequest(Encode(request)), request);
  request.label.reset();
  EXPECT_EQ(ParseEnrolRequest(Encode(request)), request);
}

TEST(NameInToken, IsWhatStandsBehindTheDotWhenThatIsAName) {
  EXPECT_EQ(NameInToken("tct_00.pump-3"), *DeviceId::Parse("pump-3"));
  EXPECT_EQ(NameInToken("tct_00"), std::nullopt);
  EXPECT_EQ(NameInToken("tct_00."), std::nullopt);
  EXPECT_EQ(NameInToken("tct_00.../etc"), std::nullopt);
}

TEST(EnrolRequest, NamesTheFieldThatIsOutOfRange) {
  const std::vector<std::pair<std::string, std::function<void(v1::EnrolRequest&)>>> cases = {
      {"token must be 1 to 128 bytes, not 0", [](auto& m) { m.clear_token(); }},
      {"token must be 1 to 128 bytes, not 129", [](auto& m) { m.set_token(std::string(kMaxTokenBytes + 1, 't')); }},
      {"token must be printable", [](auto& m) { m.set_token("two words"); }},
      {"csr_pem", [](auto& m) { m.clear_csr_pem(); }},
      {"csr_pem", [](auto& m) { m.set_csr_pem(std::string(kMaxCsrPemBytes + 1, 'c')); }},
      {"csr_pem", [](auto& m) { m.set_csr_pem(std::string("a\0b", 3)); }},
      {"label: a device name", [](auto& m) { m.set_label("Pump 3"); }},
  };
  for (const auto& [field, edit] : cases) {
    EXPECT_THAT(ParseEnrolRequest(Edited<v1::EnrolRequest>(samples::SomeEnrolment(), edit)),
                IsErrorSaying(ErrorCode::kInvalidArgument, field));
  }
}

TEST(EnrolReply, ComesBackAsItWasSent) {
  EXPECT_EQ(ParseEnrolReply(Encode(samples::SomeEnrolmentReply())), samples::SomeEnrolmentReply());
}

TEST(EnrolReply, NamesTheFieldThatIsOutOfRange) {
  const std::vector<std::pair<std::string, std::function<void(v1::EnrolResponse&)>>> cases = {
      {"a device name", [](auto& m) { m.set_device("a/b"); }},
      {"certificate_chain_pem", [](auto& m) { m.clear_certificate_chain_pem(); }},
      {"ca_pem", [](auto& m) { m.set_ca_pem(std::string(kMaxCaPemBytes + 1, 'c')); }},
      {"agents_host", [](auto& m) { m.set_agents_host("host\r\nInjected: yes"); }},
      {"agents_port", [](auto& m) { m.set_agents_port(0); }},
      {"agents_port", [](auto& m) { m.set_agents_port(65'536); }},
  };
  for (const auto& [field, edit] : cases) {
    EXPECT_THAT(ParseEnrolReply(Edited<v1::EnrolResponse>(samples::SomeEnrolmentReply(), edit)),
                IsErrorSaying(ErrorCode::kInvalidArgument, field));
  }
}

TEST(Renewal, ComesBackAsItWasSentAndIsNeverEmpty) {
  const RenewRequest request{.csr_pem = "-----BEGIN\n"};
  EXPECT_EQ(ParseRenewRequest(Encode(request)), request);
  EXPECT_THAT(ParseRenewRequest({}), IsErrorSaying(ErrorCode::kInvalidArgument, "csr_pem"));
  const RenewReply reply{.certificate_chain_pem = "-----BEGIN\n"};
  EXPECT_EQ(ParseRenewReply(Encode(reply)), reply);
  EXPECT_THAT(ParseRenewReply({}), IsErrorSaying(ErrorCode::kInvalidArgument, "certificate_chain_pem"));
}

TEST(EnrolmentMessages, RefuseALongBodyBeforeParsing) {
  EXPECT_THAT(ParseEnrolRequest(Bytes(kMaxEnrolRequestBytes + 1)), IsError(ErrorCode::kTooLarge));
  EXPECT_THAT(ParseEnrolReply(Bytes(kMaxEnrolReplyBytes + 1)), IsError(ErrorCode::kTooLarge));
  EXPECT_THAT(ParseRenewRequest(Bytes(kMaxRenewRequestBytes + 1)), IsError(ErrorCode::kTooLarge));
  EXPECT_THAT(ParseRenewReply(Bytes(kMaxRenewReplyBytes + 1)), IsError(ErrorCode::kTooLarge));
}

TEST(EnrolmentMessages, TheLargestMessagesOfThisVersionFitTheirLimits) {
  const EnrolRequest request{.token = std::string(kMaxTokenBytes, 't'),
                             .csr_pem = std::string(kMaxCsrPemBytes, 'c'),
                             .label = *DeviceId::Parse(std::string(63, 'd'))};
  EXPECT_EQ(ParseEnrolRequest(Encode(request)), request);
  const EnrolReply reply{.device = *DeviceId::Parse(std::string(63, 'd')),
                         .certificate_chain_pem = std::string(kMaxCertificateChainPemBytes, 'c'),
                         .ca_pem = std::string(kMaxCaPemBytes, 'c'),
                         .agents_host = std::string(kMaxHostBytes, 'h'),
                         .agents_port = 65'535};
  EXPECT_EQ(ParseEnrolReply(Encode(reply)), reply);
}

}  // namespace
}  // namespace tacit::codec
