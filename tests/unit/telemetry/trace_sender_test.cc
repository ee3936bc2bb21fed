#include "server/telemetry/trace_sender.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <vector>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "tests/support/matchers.h"
#include "tests/unit/net/test_server.h"

namespace tacit::telemetry {
namespace {

namespace asio = net::asio;
using ::tacit::testing::IsErrorSaying;
using ::testing::HasSubstr;
using ::testing::Not;

round::Story StoryOf(RoundNumber number) {
  return {.key = {TaskId::Parse("t").value(), number},
          .published = true,
          .reason = {},
          .resumed = false,
          .cohort_size = 1,
          .counted = std::nullopt,
          .epsilon_spent = std::nullopt,
          .began = {},
          .ended = {},
          .stages = {}};
}

/// What a collector on this machine is sent, answered with `status` once it does not hold its answers any more.
class TraceSenderTest : public ::testing::Test {
 protected:
  net::Task<net::HttpResponse> Answer(net::HttpRequest& request) {
    auto body = co_await request.ReadBody(std::size_t{1024} * 1024);
    {
      const std::scoped_lock lock(mutex_);
      bodies_.emplace_back(AsText(body.value()));
    }
    asio::steady_timer timer(co_await asio::this_coro::executor);
    while (holds_) {
      timer.expires_after(Millis(5));
      co_await timer.async_wait(asio::use_awaitable);
    }
    net::HttpResponse response;
    response.status = status_;
    co_return response;
  }

  std::unique_ptr<TraceSender> Sender(std::size_t most_waiting, Millis patience) {
    return TraceSender::Create({.endpoint = "http://127.0.0.1:" + collector_.port(),
                                .web = {.ca_file = {},
                                        .user_agent = "test",
                                        .limits = {},
                                        .plain_http = web::PlainHttp::kToThisMachine},
                                .headers = {},
                                .most_waiting = most_waiting,
                                .retry = {.first = Millis(10), .longest = Millis(20)},
                                .patience = patience},
                               metrics_, log_)
        .value();
  }
  bool WaitForEntered(int count) {
    return collector_.observer.Wait([count](const auto& seen) { return seen.entered >= count; });
  }
  std::string Bodies() {
    const std::scoped_lock lock(mutex_);
    std::string all;
    for (const std::string& body : bodies_) all += body;
    return all;
  }
  [[nodiscard]] std::string Spans(std::string_view result, int count) const {
    return "tacit_trace_spans_total{result=\"" + std::string(result) + "\"} " + std::to_string(count) + "\n";
  }
  ~TraceSenderTest() override { ::close(nowhere_); }

  std::atomic<bool> holds_ = false;
  std::atomic<int> status_ = 200;
  metrics::Metrics metrics_;
  SystemClock clock_;
  int nowhere_ = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Logger log_{nowhere_, clock_, LogLevel::kError};
  std::mutex mutex_;
  std::vector<std::string> bodies_;  // guarded by mutex_
  net::testing::TestServer collector_{{}, [this](net::HttpRequest& request) { return Answer(request); }};
};

TEST_F(TraceSenderTest, SendsWhatIsLeftWhenItStops) {
  auto sender = Sender(8, Millis(10'000));
  for (RoundNumber number = 1; number <= 3; ++number) sender->Offer(StoryOf(number));
  sender->Stop(Millis(10'000));
  EXPECT_THAT(metrics_.Render(), HasSubstr(Spans("sent", 3)));
  sender->Offer(StoryOf(4));
  EXPECT_THAT(metrics_.Render(), HasSubstr(Spans("dropped", 1)));
}

TEST_F(TraceSenderTest, DropsTheOldestOfMoreThanItHasRoomFor) {
  holds_ = true;
  auto sender = Sender(2, Millis(10'000));
  sender->Offer(StoryOf(101));
  ASSERT_TRUE(WaitForEntered(1));
  for (RoundNumber number = 102; number <= 105; ++number) sender->Offer(StoryOf(number));
  EXPECT_THAT(metrics_.Render(), HasSubstr(Spans("dropped", 2)));
  holds_ = false;
  sender->Stop(Millis(10'000));
  EXPECT_THAT(metrics_.Render(), HasSubstr(Spans("sent", 3)));
  for (const char* number : {"\"101\"", "\"104\"", "\"105\""}) EXPECT_THAT(Bodies(), HasSubstr(number));
  for (const char* number : {"\"102\"", "\"103\""}) EXPECT_THAT(Bodies(), Not(HasSubstr(number)));
}

TEST_F(TraceSenderTest, DropsAtOnceWhatItHasNoPatienceFor) {
  status_ = 503;
  auto sender = Sender(8, Millis(0));
  sender->Offer(StoryOf(1));
  sender->Stop(Millis(10'000));
  EXPECT_THAT(metrics_.Render(), HasSubstr(Spans("dropped", 1)));
  EXPECT_THAT(metrics_.Render(), HasSubstr("tacit_trace_attempts_failed_total 1\n"));
}

TEST_F(TraceSenderTest, DoesNotWaitForACollectorThatHangsWhenItStops) {
  holds_ = true;
  auto sender = Sender(8, Millis(60'000));
  sender->Offer(StoryOf(1));
  ASSERT_TRUE(WaitForEntered(1));
  const auto begin = std::chrono::steady_clock::now();
  sender->Stop(Millis(50));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  EXPECT_THAT(metrics_.Render(), HasSubstr(Spans("dropped", 1)));
  holds_ = false;
}

TEST_F(TraceSenderTest, WantsAnEndpointThatCanBeAsked) {
  TraceSenderOptions options;
  options.endpoint = "collector:4318";
  EXPECT_THAT(TraceSender::Create(options, metrics_, log_), IsErrorSaying(ErrorCode::kInvalidArgument, "URL"));
}

}  // namespace
}  // namespace tacit::telemetry
