#include "edge_agent/reports/reporter.h"

#include <unistd.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/files.h"
#include "common/crypto/key_signature.h"
#include "tests/support/fake_clock.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/net/pki.h"
#include "tests/unit/net/test_server.h"

// A server that counts as tacitd does, and that a test makes lose answers; with the real one:
// tests/integration/test_reports.py.
namespace tacit::reports {
namespace {

using ::tacit::testing::FakeClock;
using ::tacit::testing::IsOk;

constexpr Millis kInterval{100'000};

class FakeServer {
 public:
  FakeServer() : server_(Listener(), [this](net::HttpRequest& request) { return Answer(*this, request); }) {}

  [[nodiscard]] net::ClientOptions Options() const {
    net::ClientOptions options;
    options.server = {"127.0.0.1", static_cast<std::uint16_t>(std::stoi(server_.port()))};
    options.ca_pem = pki_.ca_pem();
    options.client_certificate_pem = device_.certificate_pem;
    options.client_key_pem = device_.key_pem;
    return options;
  }
  /// The next requests are counted, and their answers lost.
  void LoseAnswers(int count) { lost_answers_ = count; }
  /// What it has counted was lost with its disk.
  void Forget() {
    const std::scoped_lock lock(mutex_);
    last_ = {};
  }
  [[nodiscard]] EdgeCounts total() const {
    const std::scoped_lock lock(mutex_);
    return total_;
  }
  [[nodiscard]] codec::EdgeReport last() const {
    const std::scoped_lock lock(mutex_);
    return last_;
  }
  [[nodiscard]] int requests() const {
    const std::scoped_lock lock(mutex_);
    return requests_;
  }

 private:
  [[nodiscard]] net::ListenerOptions Listener() const {
    net::ListenerOptions options;
    options.tls = *net::TlsServerContext::Create({.certificate_chain_path = identity_.certificate_path,
                                                  .private_key_path = identity_.key_path,
                                                  .client_ca_path = pki_.ca_path(),
                                                  .client_auth = net::ClientAuth::kRequired});
    return options;
  }

  static net::Task<net::HttpResponse> Answer(FakeServer& self, net::HttpRequest& request) {
    const auto body = co_await request.ReadBody(codec::kMaxReportBatchBytes);
    if (!body || request.path() != "/v1/tasks/har/reports")
      co_return net::Problem({ErrorCode::kNotFound, "not here"}, request.path());
    const auto sequence = self.Count(*body, request.peer().public_key_sha256);
    if (!sequence) co_return net::Problem(sequence.error(), request.path());
    net::HttpResponse response;
    response.content_type = "application/x-protobuf";
    response.body = std::string(AsText(codec::Encode(codec::ReportAck{.sequence = *sequence})));
    co_return response;
  }

  Result<std::uint64_t> Count(const Bytes& body, const Digest256& key) {
    const std::scoped_lock lock(mutex_);
    ++requests_;
    TACIT_TRY(const codec::ReportBatch batch, codec::ParseReportBatch(body));
    TACIT_TRY(const crypto::KeyVerifier verifier, crypto::KeyVerifier::FromDer(batch.public_key));
    const Bytes message = codec::ReportMessage(*DeviceId::Parse("cam"), *TaskId::Parse("har"), batch.statement);
    if (verifier.PublicKeySha256() != key || !verifier.Verify(message, batch.signature))
      return Fail(ErrorCode::kPermissionDenied, "not signed by the device");
    TACIT_TRY(const codec::EdgeReport report, codec::ParseEdgeReport(batch.statement));
    const std::uint64_t before = report.stream == last_.stream ? last_.sequence : 0;
    if (report.sequence > before + 1) return Fail(ErrorCode::kConflict, "does not come next");
    if (report.sequence == before + 1) {
      total_ = Plus(total_, report.counts);
      last_ = report;
    }
    if (lost_answers_ > 0) {
      --lost_answers_;
      return Fail(ErrorCode::kUnavailable, "lost");
    }
    return report.sequence;
  }

  net::testing::Pki pki_;
  net::testing::Identity identity_ = pki_.Server();
  net::testing::Identity device_ = pki_.Client("cam");
  mutable std::mutex mutex_;
  int lost_answers_ = 0;
  int requests_ = 0;
  EdgeCounts total_;
  codec::EdgeReport last_{.sequence = 0};
  net::testing::TestServer server_;
};

class ReporterTest : public ::testing::Test {
 protected:
  /// As a process that begins.
  void Begin() {
    reporter_.reset();
    tally_ = {.model_version = 4};
    auto made = Reporter::Create(
        {.file = directory_.path() / "har.reports",
         .task = *TaskId::Parse("har"),
         .device = *DeviceId::Parse("cam"),
         .server = server_.Options(),
         .interval = kInterval,
         .seed = 1,
         .tally = [this] { return tally_; },
         .missing = [] { return std::vector{protect::Measure::kSecretPages, protect::Measure::kNoFiles}; }},
        clock_, log_);
    ASSERT_THAT(made, IsOk());
    reporter_ = std::make_unique<Reporter>(*std::move(made));
  }
  [[nodiscard]] Millis UntilDue() const { return reporter_->due() - clock_.SteadyNow(); }

  const tacit::testing::TempDirectory directory_;
  FakeClock clock_;
  Logger log_{STDERR_FILENO, clock_, LogLevel::kError};
  FakeServer server_;
  detect::Tally tally_;
  std::unique_ptr<Reporter> reporter_;
};

TEST_F(ReporterTest, SendsWhatWasCountedSinceTheReportBefore) {
  Begin();
  EXPECT_EQ(UntilDue(), Millis(0));
  tally_.rows = 10;
  reporter_->Send();
  EXPECT_EQ(server_.total(), (EdgeCounts{.rows = 10}));
  EXPECT_EQ(server_.last().model_version, 4U);
  EXPECT_EQ(server_.last().degradations, (std::vector<std::string>{"no_files", "secret_pages"}));
  EXPECT_EQ(server_.last().calibration, std::nullopt);
  EXPECT_LE(UntilDue(), kInterval);
  EXPECT_GE(UntilDue(), kInterval - kInterval / 10);
  tally_.rows = 25;
  tally_.adversarial = 2;
  tally_.calibration.fill(7);
  reporter_->Send();
  EXPECT_EQ(server_.total(), (EdgeCounts{.rows = 25, .adversarial = 2}));
  EXPECT_EQ(server_.last().sequence, 2U);
  EXPECT_EQ(server_.last().calibration, tally_.calibration);
  reporter_->SendSoon();
  EXPECT_EQ(UntilDue(), Millis(0));
}

TEST_F(ReporterTest, IsCountedOnceWhereTheAnswerIsLost) {
  Begin();
  tally_.rows = 10;
  server_.LoseAnswers(2);
  reporter_->Send();
  EXPECT_LT(UntilDue(), kInterval / 2) << "it tries again sooner";
  tally_.rows = 12;
  reporter_->Send();
  reporter_->SendSoon();
  EXPECT_GT(UntilDue(), Millis(0)) << "news does not hurry what fails";
  tally_.rows = 15;
  reporter_->Send();
  EXPECT_EQ(server_.total(), (EdgeCounts{.rows = 15}));
  EXPECT_EQ(server_.last().sequence, 2U) << "what was sent before, and then all that came since";
}

TEST_F(ReporterTest, LosesAndRepeatsNothingOverARestart) {
  Begin();
  tally_.rows = 10;
  server_.LoseAnswers(1);
  reporter_->Send();
  tally_.rows = 13;
  tally_.refused_calls = 1;
  reporter_->Save();
  Begin();
  tally_.rows = 5;
  reporter_->Send();
  EXPECT_EQ(server_.total(), (EdgeCounts{.rows = 18, .refused_calls = 1}));
  tally_.rows = 6;
  reporter_->Save();
  Begin();
  Begin();
  reporter_->Send();
  EXPECT_EQ(server_.total().rows, 19U);
}

TEST_F(ReporterTest, NumbersAnewWhereTheServerWasSetBack) {
  Begin();
  for (std::uint64_t rows = 1; rows <= 3; ++rows) {
    tally_.rows = rows;
    reporter_->Send();
  }
  server_.Forget();
  tally_.rows = 10;
  reporter_->Send();
  EXPECT_EQ(server_.total().rows, 3U);
  tally_.rows = 11;
  reporter_->Send();
  EXPECT_EQ(server_.total().rows, 11U) << "nothing was lost with the numbers";
  EXPECT_EQ(server_.last().sequence, 1U);
}

TEST_F(ReporterTest, BeginsAnewWhereItsRecordIsDamaged) {
  ASSERT_THAT(WriteFileAtomic(directory_.path() / "har.reports", Bytes(100), kOwnerOnly), IsOk());
  Begin();
  tally_.rows = 1;
  reporter_->Send();
  EXPECT_EQ(server_.total().rows, 1U);
}

TEST_F(ReporterTest, SendsNothingMoreOnceItIsCancelled) {
  Begin();
  tally_.rows = 1;
  reporter_->Cancel();
  reporter_->Send();
  EXPECT_EQ(server_.requests(), 0);
  ASSERT_THAT(reporter_->Reconnect(server_.Options()), IsOk());
  reporter_->Send();
  EXPECT_EQ(server_.total().rows, 1U);
}

}  // namespace
}  // namespace tacit::reports
