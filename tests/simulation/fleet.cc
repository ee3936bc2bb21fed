#include "tests/simulation/fleet.h"

#include <cstring>
#include <string>
#include <utility>
#include <variant>

#include "common/net/wake_up.h"
#include "dp/update.h"

namespace tacit::simulation {
namespace {

constexpr Millis kLongestPoll{4'000};
constexpr Millis kNetwork{60};
constexpr Millis kTraining{2'000};
constexpr Millis kRest{1'500};
// Of the grid radius: within the bound, and small enough for a float of the model to tell every grid step of a sum.
constexpr std::int32_t kEntriesPerRadius = 16;

}  // namespace

Fleet::Fleet(std::size_t devices, History& history, Random& random, const Clock& clock)
    : history_(history), random_(random), clock_(clock) {
  for (std::size_t i = 0; i < devices; ++i) {
    Device device{.id = *DeviceId::Parse("device-" + std::to_string(i)), .key = {}, .kept = {}};
    device.key.fill(static_cast<std::uint8_t>(i + 1));
    devices_.push_back(std::move(device));
  }
}

Result<void> Fleet::Enrol(store::Store& store) const {
  for (const Device& device : devices_) {
    const auto added = store.AddDevice({.id = device.id,
                                        .public_key_sha256 = device.key,
                                        .certificate_serial = "01",
                                        .certificate_not_after = clock_.Now() + std::chrono::hours(24),
                                        .enrolled_at = clock_.Now(),
                                        .last_seen = {},
                                        .token_hash_hex = ""});
    if (!added && added.error().code != ErrorCode::kConflict) return added;
  }
  return {};
}

void Fleet::Meet(coordinator::Coordinator& server, net::TaskGroup& group) {
  for (Device& device : devices_) {
    const auto spawned = group.Spawn(Live(device, {server, group}));
    if (!spawned) history_.Complain("a device cannot live: " + spawned.error().message);
  }
}

bool Fleet::Chance(double probability) {
  return std::uniform_real_distribution<double>(0, 1)(random_) < probability;
}

net::Task<void> Fleet::Pause(Millis most) {
  net::WakeUp never;
  const Millis pause(std::uniform_int_distribution<std::int64_t>(0, most.count())(random_));
  co_await never.WaitUntil(clock_.SteadyNow() + pause);
}

net::Task<void> Fleet::Live(Device& device, Server server) {
  for (;;) {
    co_await Pause(kRest);
    if (device.kept) {
      co_await Send(device, server);
    } else {
      co_await Ask(device, server);
    }
  }
}

net::Task<void> Fleet::Ask(Device& device, Server server) {
  const Millis wait(std::uniform_int_distribution<std::int64_t>(0, kLongestPoll.count())(random_));
  coordinator::CheckInQuery query{.device = device.id, .key = device.key, .task = {}, .declined = {}, .wait = wait};
  const auto reply = co_await server.coordinator.CheckIn(std::make_shared<coordinator::CheckInQuery>(std::move(query)));
  co_await Pause(kNetwork);
  if (!reply) {
    history_.Complain(device.id.str() + " was refused: " + reply.error().message);
    co_return;
  }
  const auto* const lease = std::get_if<coordinator::LeaseView>(&*reply);
  if (lease == nullptr || Chance(0.1)) co_return;  // or the device goes away with its lease
  co_await Pause(kTraining);
  device.kept = Train(*lease);
  history_.Made(lease->round, device.id, device.kept->digest, device.kept->grid);
}

Fleet::Update Fleet::Train(coordinator::LeaseView lease) {
  Update update{.lease = std::move(lease), .digest = {}, .grid = {}};
  const auto largest = static_cast<std::int32_t>(update.lease.spec->privacy.grid_radius.value()) / kEntriesPerRadius;
  std::uniform_int_distribution<std::int32_t> entry(-largest, largest);
  for (std::int32_t& each : update.grid) each = entry(random_);
  Xxh3Stream digest;
  digest.Update(AsBytes(std::span<const std::int32_t>(update.grid)));
  update.digest = digest.Finish();
  return update;
}

net::Task<void> Fleet::Send(Device& device, Server server) {
  const Update update = Present(device.kept, "asked before");
  if (Chance(0.1)) {  // The answer will not be heard; the same update comes again while the first may be on its way.
    const auto spawned = server.group.Spawn(SendUnheard(device, server, update));
    if (!spawned) history_.Complain("an update cannot be sent: " + spawned.error().message);
    co_return;
  }
  const Result<void> outcome = co_await Submit(device, server, update);
  co_await Pause(kNetwork);
  if (outcome) {
    history_.Acknowledged(update.lease.round, device.id);
    device.kept.reset();
    if (Chance(0.2)) co_await SendOnceMore(device, server, update);
    co_return;
  }
  switch (outcome.error().code) {
    case ErrorCode::kUnavailable:
      break;  // It is kept.
    case ErrorCode::kGone:
    case ErrorCode::kPermissionDenied:
    case ErrorCode::kDeadlineExceeded:
      device.kept.reset();
      break;
    default:
      history_.Complain("the update of " + device.id.str() + " was refused: " + outcome.error().message);
      device.kept.reset();
  }
}

net::Task<void> Fleet::SendUnheard(Device& device, Server server, Update update) {
  (void)co_await Submit(device, server, update);
}

// What is counted stays counted: the same again is answered like the first, and another one is refused.
net::Task<void> Fleet::SendOnceMore(Device& device, Server server, Update sent) {
  const bool same = Chance(0.5);
  const Update second = same ? sent : Train(sent.lease);
  const Result<void> outcome = co_await Submit(device, server, second);
  const bool refused = !outcome && outcome.error().code == ErrorCode::kConflict;
  if (same && refused) history_.Complain("a repeated update of " + device.id.str() + " was called another one");
  if (!same && outcome) history_.Complain("a second update of " + device.id.str() + " was acknowledged");
}

net::Task<Result<void>> Fleet::Submit(Device& device, Server server, const Update& update) {
  AlignedBuffer memory(sizeof update.grid);
  dp::UpdateIntake intake(std::move(memory), dp::UpdateIntake::Entries::kGrid,
                          {.mechanism = update.lease.spec->privacy.mechanism,
                           .grid_radius = update.lease.spec->privacy.grid_radius,
                           .entry_bound = 0});
  std::memcpy(intake.Rest().data(), update.grid.data(), sizeof update.grid);
  intake.Received(sizeof update.grid);
  TACIT_CO_TRY(auto verified, std::move(intake).Verify(dp::Fit::kWithinClip));
  co_await Pause(kNetwork);
  co_return co_await server.coordinator.Submit({.round = update.lease.round,
                                                .device = device.id,
                                                .key = device.key,
                                                .digest = update.digest,
                                                .update = std::move(verified),
                                                .weight = 1});
}

}  // namespace tacit::simulation
