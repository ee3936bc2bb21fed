#include "server/api/rounds_api.h"

#include <memory>
#include <utility>

#include "server/api/json.h"
#include "server/api/request_parts.h"
#include "server/api/stream_places.h"

namespace tacit::api {
namespace {

using coordinator::TaskView;
using net::HttpResponse;
using net::Task;

struct RoundPage {
  std::vector<store::RoundRecord> rounds;
  std::vector<std::optional<store::ModelRecord>> models;
};

Result<RoundPage> ReadRounds(store::Store& store, const TaskId& id, RoundNumber after, std::size_t limit) {
  RoundPage page;
  TACIT_TRY(page.rounds, store.Rounds(id, after, limit));
  for (const store::RoundRecord& round : page.rounds) {
    if (round.phase != store::RoundPhase::kPublished) {
      page.models.emplace_back(std::nullopt);
      continue;
    }
    TACIT_TRY(auto model, store.Model(id, round.key.round));
    page.models.emplace_back(std::move(model));
  }
  return page;
}

Task<Result<RoundPage>> LoadRounds(Context& context, const TaskId& id, RoundNumber after, std::size_t limit) {
  co_return co_await context.coordinator.store().Call(
      "rounds", [&](store::Store& store) { return ReadRounds(store, id, after, limit); });
}

Task<Result<HttpResponse>> GetRounds(Call call) {
  TACIT_CO_TRY(const TaskView view, co_await FindTask(call));
  TACIT_CO_TRY(const RoundNumber after, QueryNumber(call.request, "after", 0));
  TACIT_CO_TRY(const std::size_t limit, PageSize(call.request));
  const task::TaskSpec& spec = view.record.spec;
  TACIT_CO_TRY(const RoundPage page, co_await LoadRounds(call.context, spec.id, after, limit));
  Json items = Json::array();
  for (std::size_t i = 0; i < page.rounds.size(); ++i) items.push_back(ToJson(page.rounds[i], page.models[i], spec));
  Json next = nullptr;
  if (page.rounds.size() == limit) next = std::to_string(page.rounds.back().key.round);
  co_return JsonResponse({{"items", items}, {"next_cursor", next}});
}

Task<Result<HttpResponse>> GetRound(Call call) {
  TACIT_CO_TRY(const TaskView view, co_await FindTask(call));
  TACIT_CO_TRY(const RoundNumber round, ParseNumber("the round", call.path[1]));
  const task::TaskSpec& spec = view.record.spec;
  if (round > 0) {
    TACIT_CO_TRY(const RoundPage page, co_await LoadRounds(call.context, spec.id, round - 1, 1));
    if (!page.rounds.empty() && page.rounds[0].key.round == round)
      co_return JsonResponse(ToJson(page.rounds[0], page.models[0], spec));
  }
  co_return Fail(ErrorCode::kNotFound, "task " + spec.id.str() + " has no round " + std::to_string(round));
}

// ---- What happens, as it happens ----

constexpr Millis kLookEvery{500};
// Proxies take a connection on which nothing comes for dead, most often after a minute.
constexpr std::uint64_t kLooksWithoutAWord = 30;
constexpr std::size_t kRoundsAtOnce = 100;

// Source: WHATWG HTML, section 9.2.6. JSON without line ends is one line of data.
std::string EventText(std::string_view name, const Json& data, std::optional<RoundNumber> id) {
  std::string text = "event: " + std::string(name) + "\n";
  if (id) text += "id: " + std::to_string(*id) + "\n";
  return text + "data: " + data.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n\n";
}

// One client that watches one task. It looks at what is in memory anyway: nothing that happens waits for who watches.
class Watch {
 public:
  struct Start {
    TaskId task;
    RoundNumber after = 0;
    StreamPlaces::Place place;
  };
  Watch(const Call& call, Start start)
      : context_(call.context), request_(call.request), principal_(call.principal), start_(std::move(start)) {}

  Task<void> Run(net::ResponseStream& stream) {
    for (std::uint64_t looks = 0; IsStillIn(context_, request_, principal_); ++looks) {
      const Result<Told> told = co_await Tell(stream);
      if (!told) {
        co_await stream.Write(EventText("problem", {{"detail", told.error().message}}, std::nullopt));
        co_return;
      }
      if (*told == Told::kNobodyThere) co_return;
      const bool still_there = *told == Told::kNothing && looks % kLooksWithoutAWord == 0;
      if (still_there && !co_await stream.Write(":\n\n")) co_return;
      if (!co_await stream.Pause(kLookEvery)) co_return;
    }
  }

 private:
  enum class Told : std::uint8_t { kNothing, kSomething, kNobodyThere };

  Task<Result<Told>> Tell(net::ResponseStream& stream) {
    TACIT_CO_TRY(const TaskView view, co_await context_.coordinator.Task(start_.task));
    Json task = ToJson(view, context_.clock.Now());
    std::string state = WithoutClock(task).dump();
    if (state == state_) co_return Told::kNothing;
    // Rounds first: who is told that a round is open knows how those before it ended.
    TACIT_CO_TRY(const Told rounds, co_await TellRounds(view.record.spec, stream));
    if (rounds == Told::kNobodyThere) co_return rounds;
    std::string news = EventText("task", task, std::nullopt);
    if (std::string privacy = EventText("privacy", PrivacyJson(view), std::nullopt); privacy != privacy_) {
      news += privacy;
      privacy_ = std::move(privacy);
    }
    state_ = std::move(state);
    co_return co_await stream.Write(news) ? Told::kSomething : Told::kNobodyThere;
  }

  // Page by page: the next one is read when the client has taken the one before.
  Task<Result<Told>> TellRounds(const task::TaskSpec& spec, net::ResponseStream& stream) {
    for (;;) {
      TACIT_CO_TRY(const RoundPage page, co_await LoadRounds(context_, start_.task, start_.after, kRoundsAtOnce));
      std::string news;
      bool more = page.rounds.size() == kRoundsAtOnce;
      for (std::size_t i = 0; i < page.rounds.size(); ++i) {
        const store::RoundRecord& round = page.rounds[i];
        more = more && store::HasEnded(round.phase);
        if (!store::HasEnded(round.phase)) break;
        start_.after = round.key.round;
        news += EventText("round", ToJson(round, page.models[i], spec), start_.after);
      }
      if (!news.empty() && !co_await stream.Write(news)) co_return Told::kNobodyThere;
      if (!more) co_return Told::kSomething;
      if (!IsStillIn(context_, request_, principal_)) co_return Told::kNobodyThere;
    }
  }

  // The deadline is told as now and the time left, and so moves by a millisecond from look to look.
  static Json WithoutClock(Json task) {
    if (auto round = task.find("current_round"); round != task.end() && round->is_object()) round->erase("deadline");
    return task;
  }

  Context& context_;
  net::HttpRequest& request_;
  Principal principal_;
  Start start_;
  std::string state_;
  std::string privacy_;
};

// A browser that connects again says where it was in a header. Source: WHATWG HTML, section 9.2.3.
Result<RoundNumber> StartOf(const net::HttpRequest& request) {
  if (const auto id = request.Header("last-event-id"); id && !id->empty()) return ParseNumber("Last-Event-ID", *id);
  return QueryNumber(request, "after", 0);
}

Task<Result<HttpResponse>> GetEvents(Call call) {
  TACIT_CO_TRY(const TaskView view, co_await FindTask(call));
  TACIT_CO_TRY(const RoundNumber after, StartOf(call.request));
  TACIT_CO_TRY(StreamPlaces::Place place, call.context.stream_places.Take(call.principal.Actor()));
  HttpResponse response;
  response.content_type = "text/event-stream";
  response.headers = {{"Cache-Control", "no-store"}};
  auto watch = std::make_shared<Watch>(
      call, Watch::Start{.task = view.record.spec.id, .after = after, .place = std::move(place)});
  response.stream = [watch](net::ResponseStream& stream) { return watch->Run(stream); };
  co_return response;
}

}  // namespace

std::vector<GuardedRoute> RoundRoutes() {
  using enum Action;
  return {
      {"GET", "/api/v1/tasks/{task}/rounds", kReadTasks, &GetRounds},
      {"GET", "/api/v1/tasks/{task}/rounds/{round}", kReadTasks, &GetRound},
      {"GET", "/api/v1/tasks/{task}/events", kReadPrivacy, &GetEvents},
  };
}

}  // namespace tacit::api
