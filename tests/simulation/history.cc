#include "tests/simulation/history.h"

#include <cmath>
#include <cstring>

#include "server/ownership/watermark.h"

namespace tacit::simulation {
namespace {

constexpr std::size_t kAll = 10'000;

std::string Text(const RoundKey& round) {
  return "round " + std::to_string(round.round) + " of " + round.task.str();
}

}  // namespace

void History::Made(const RoundKey& round, const DeviceId& device, const Digest128& digest, const Grid& grid) {
  updates_[round].insert_or_assign(device, Update{.digest = digest, .grid = grid, .acknowledged = false});
  std::vector<RoundNumber>& made = made_[{round.task, device}];
  if (made.empty() || made.back() != round.round) made.push_back(round.round);
}

void History::Acknowledged(const RoundKey& round, const DeviceId& device) {
  bool& acknowledged = updates_[round][device].acknowledged;
  acknowledged_ += acknowledged ? 0 : 1;
  acknowledged = true;
}

void History::Drawn(const RoundKey& round, Bytes key) {
  const auto [place, is_new] = drawn_.try_emplace(round, key);
  if (!is_new && place->second != key) Complain("the noise of " + Text(round) + " was drawn a second time, otherwise");
}

bool History::AllEnded(store::Store& store) {
  const auto tasks = store.Tasks();
  if (!tasks || tasks->empty()) return false;
  for (const store::TaskRecord& task : *tasks)
    if (task.state == store::TaskState::kActive) return false;
  return true;
}

std::string History::Fingerprint() const {
  std::string text;
  for (const auto& [round, digest] : models_) text += Text(round) + " " + ToHex(digest) + "\n";
  return text;
}

void History::Check(store::Store& store) {
  const auto tasks = store.Tasks();
  if (!tasks) return Complain("the tasks cannot be read: " + tasks.error().message);
  std::set<TaskId> found;
  for (const store::TaskRecord& task : *tasks) {
    found.insert(task.spec.id);
    CheckTask(store, task);
  }
  for (const TaskId& task : created_)
    if (!found.contains(task)) Complain("task " + task.str() + " is lost");
  if (const auto audit = store.VerifyAudit(); !audit) Complain("the audit log: " + audit.error().message);
}

void History::CheckTask(store::Store& store, const store::TaskRecord& task) {
  const auto rounds = store.Rounds(task.spec.id, 0, kAll);
  if (!rounds) return Complain("the rounds cannot be read: " + rounds.error().message);
  if (task.spec.asynchronous) MatchBuffers(store, task.spec.id, *rounds);
  std::map<DeviceId, std::uint64_t> participations;
  std::set<RoundNumber> there;
  for (const store::RoundRecord& round : *rounds) {
    there.insert(round.key.round);
    CheckRound(store, task, round);
    for (const DeviceId& device : counted_[round.key]) ++participations[device];
  }
  for (const auto& [round, ending] : endings_)
    if (round.task == task.spec.id && !there.contains(round.round)) Complain(Text(round) + " is lost");
  for (const auto& [round, updates] : updates_) {
    if (round.task != task.spec.id || there.contains(round.round)) continue;
    for (const auto& [device, update] : updates)
      if (update.acknowledged) Complain(Text(round) + " is lost with the update of " + device.str());
  }
  CheckParticipations(store, task.spec.id, participations);
  CheckLedger(store, task);
}

void History::CheckRound(store::Store& store, const store::TaskRecord& task, const store::RoundRecord& round) {
  const Devices devices = CheckContributions(store, task, round);
  const auto partials = store.PartialSequences(round.key);
  if (!partials || partials->size() > kPartialsAtMost) Complain(Text(round.key) + " keeps too many partial sums");
  if (!store::HasEnded(round.phase)) return;
  const Ending ending{.phase = round.phase, .counted = round.counted};
  const auto [place, is_new] = endings_.try_emplace(round.key, ending);
  if (place->second != ending) Complain(Text(round.key) + " ended, and then ended otherwise");
  if (!is_new) return;
  if (round.counted != devices.size())
    Complain(Text(round.key) + " says it counted " + std::to_string(round.counted) + ", not " +
             std::to_string(devices.size()));
  if (round.phase == store::RoundPhase::kPublished) CheckModel(store, task, round.key, devices);
}

// A device makes one update after the other, and the next only once it has an answer: the order in which its updates
// are counted is that in which they were made, and all but the last of those that are counted were acknowledged.
void History::MatchBuffers(store::Store& store, const TaskId& task, const std::vector<store::RoundRecord>& rounds) {
  std::map<DeviceId, std::vector<RoundNumber>> counted;
  for (const store::RoundRecord& round : rounds) {
    const auto contributions = store.Contributions(round.key);
    if (!contributions) return Complain("who is in " + Text(round.key) + " cannot be read");
    for (const store::Contribution& each : *contributions) counted[each.device].push_back(round.key.round);
  }
  for (const auto& [key, made] : made_) {
    if (key.first != task) continue;
    std::vector<RoundNumber> known;
    for (const RoundNumber leased_in : made)
      if (updates_[{task, leased_in}][key.second].acknowledged) known.push_back(leased_in);
    const std::vector<RoundNumber>& buffers = counted[key.second];
    if (buffers.size() == known.size() + 1 && (known.empty() || known.back() != made.back()))
      known.push_back(made.back());
    if (buffers.size() != known.size()) {
      Complain(key.second.str() + " is counted in " + std::to_string(buffers.size()) + " buffers of " + task.str() +
               ", and " + std::to_string(known.size()) + " of its updates can be");
      continue;
    }
    for (std::size_t i = 0; i < buffers.size(); ++i) leases_[{task, buffers[i]}][key.second] = known[i];
  }
}

History::Devices History::CheckContributions(store::Store& store, const store::TaskRecord& task,
                                             const store::RoundRecord& round) {
  const auto contributions = store.Contributions(round.key);
  if (!contributions) {
    Complain("who is in " + Text(round.key) + " cannot be read: " + contributions.error().message);
    return {};
  }
  const std::map<DeviceId, Update>& updates = updates_[round.key];
  Devices devices;
  for (const store::Contribution& each : *contributions) {
    if (!devices.insert(each.device).second) Complain(each.device.str() + " is twice in " + Text(round.key));
    if (task.spec.asynchronous) continue;
    const auto made = updates.find(each.device);
    if (made == updates.end()) {
      Complain(each.device.str() + " is in " + Text(round.key) + " without an update");
    } else if (each.payload_digest != Digest128{} && each.payload_digest != made->second.digest) {
      Complain(each.device.str() + " is in " + Text(round.key) + " with an update it did not make");
    }
  }
  for (const auto& [device, update] : updates)
    if (update.acknowledged && !devices.contains(device) && !task.spec.asynchronous)
      Complain("the acknowledged update of " + device.str() + " is not in " + Text(round.key));
  for (const DeviceId& device : counted_[round.key])
    if (!devices.contains(device)) Complain(device.str() + " was in " + Text(round.key) + " and is no more");
  counted_[round.key] = devices;
  return devices;
}

void History::CheckModel(store::Store& store, const store::TaskRecord& task, const RoundKey& round,
                         const Devices& devices) {
  const auto model = store.Model(round.task, round.round);
  // The version that it was made from is the newest before it.
  ModelVersion base = 0;
  for (const auto& [key, digest] : models_)
    if (key.task == round.task && key.round < round.round) base = std::max(base, key.round);
  const auto before = store.Model(round.task, base);
  if (!model || !before) return Complain("the model of " + Text(round) + " is lost");
  models_.emplace(round, model->digest);
  const auto bytes = store.MapModel(model->digest);
  const auto bytes_before = store.MapModel(before->digest);
  if (!bytes || !bytes_before) return Complain("the model of " + Text(round) + " cannot be read");
  std::array<float, kParameters> now{};
  std::array<float, kParameters> then{};
  if (bytes->bytes.size() != sizeof now) return Complain("the model of " + Text(round) + " has another size");
  std::memcpy(now.data(), bytes->bytes.data(), sizeof now);
  std::memcpy(then.data(), bytes_before->bytes.data(), sizeof then);
  std::array<double, kParameters> step{};
  for (std::size_t i = 0; i < kParameters; ++i)
    step.at(i) = static_cast<double>(now.at(i)) - static_cast<double>(then.at(i));
  // What the mark moved cannot be told from what the devices did.
  if (task.spec.watermark) return CheckMark(store, task, *model, now);
  CheckSum(task, round, devices, step);
}

// Whoever sees a model finds in the log, once, what opens to this very model; and the model bears the mark.
void History::CheckMark(store::Store& store, const store::TaskRecord& task, const store::ModelRecord& model,
                        std::span<const float> parameters) {
  const std::string what = "version " + std::to_string(model.version) + " of " + model.task.str();
  const auto owner = store.OwnerKey();
  const auto log = store.Audit(0, kAll);
  if (!owner || !log) return Complain("the mark of " + what + " cannot be checked");
  const crypto::SecretKey key = ownership::MarkKeyOf(*owner, model.task);
  const ownership::Triggers triggers = ownership::MakeTriggers(key, task.spec.model, *task.spec.watermark);
  const Digest256 commitment = ownership::CommitmentTo({.task = model.task,
                                                        .version = model.version,
                                                        .model = model.digest,
                                                        .triggers = ownership::DigestOf(triggers),
                                                        .nonce = ownership::NonceOf(key, model.version)});
  std::size_t found = 0;
  for (const store::AuditRecord& record : *log) {
    if (record.event.target != store::CommitTarget(model.task, model.version)) continue;
    found += record.event.detail == "sha256 " + ToHex(commitment) && record.event.at <= model.created_at ? 1 : 2;
  }
  if (found != 1) Complain("the log does not have the one commitment to " + what);
  // A linear model of two inputs cannot have all triggers right, but more than the third that chance has.
  if (ownership::CountMatches(task.spec.model, parameters, triggers) <= 20) Complain(what + " does not bear the mark");
}

// What one entry of a device's update adds to the sum of a round.
double History::ShareOf(const store::TaskRecord& task, const RoundKey& round, const DeviceId& device,
                        std::size_t entry) {
  if (!task.spec.asynchronous) return updates_[round][device].grid.at(entry);
  const RoundNumber leased_in = leases_[round][device];
  int staleness = 0;
  for (const auto& [key, digest] : models_)
    staleness += key.task == round.task && key.round >= leased_in && key.round < round.round ? 1 : 0;
  stale_ += staleness > 0 ? 1 : 0;
  const double parts = std::floor(65536 / std::sqrt(1.0 + staleness));
  return std::trunc(updates_[{round.task, leased_in}][device].grid.at(entry) * parts / 65536);
}

// The step is sum * C / (R * m), give or take the rounding of a float of the model, which is far below one grid step.
void History::CheckSum(const store::TaskRecord& task, const RoundKey& round, const Devices& devices,
                       const std::array<double, kParameters>& step) {
  const bool noised = task.spec.privacy.mechanism != dp::Mechanism::kNone;
  const bool fixed = noised || task.spec.asynchronous;
  const double divisor = fixed ? task.spec.cohort.size : static_cast<double>(devices.size());
  const double scale = divisor * task.spec.privacy.grid_radius.value() / task.spec.privacy.clip_norm.value();
  Grid rest{};
  for (std::size_t i = 0; i < kParameters; ++i) {
    double sum = std::round(step.at(i) * scale);
    for (const DeviceId& device : devices) sum -= ShareOf(task, round, device, i);
    rest.at(i) = static_cast<std::int32_t>(sum);
  }
  if (noised && !noise_) noise_ = rest;
  if (rest != (noised ? *noise_ : Grid{})) Complain("the sum of " + Text(round) + " is not that of its updates");
}

void History::CheckLedger(store::Store& store, const store::TaskRecord& task) {
  const auto entries = store.LedgerPage(task.spec.id, 0, kAll);
  if (!entries) return Complain("the ledger cannot be read: " + entries.error().message);
  const std::vector<dp::LedgerEntry>& before = ledgers_[task.spec.id];
  if (entries->size() < before.size() || !std::equal(before.begin(), before.end(), entries->begin()))
    Complain("the ledger of " + task.spec.id.str() + " has lost or changed an entry");
  ledgers_[task.spec.id] = *entries;
  std::set<RoundNumber> reserved;
  std::set<RoundNumber> charged;
  double epsilon = 0;
  for (const dp::LedgerEntry& each : *entries) {
    if (each.epsilon_after < epsilon) Complain("epsilon of " + task.spec.id.str() + " went back");
    epsilon = each.epsilon_after;
    const bool is_new = each.kind == dp::LedgerKind::kReserve  ? reserved.insert(each.round).second
                        : each.kind == dp::LedgerKind::kCharge ? charged.insert(each.round).second
                                                               : true;
    if (!is_new) Complain("the ledger of " + task.spec.id.str() + " says something twice");
    if (!reserved.contains(each.round)) Complain(Text({task.spec.id, each.round}) + " was not reserved first");
  }
  if (task.spec.privacy.mechanism == dp::Mechanism::kNone) return;
  for (const auto& [round, key] : drawn_)
    if (round.task == task.spec.id && !charged.contains(round.round))
      Complain("noise was drawn for " + Text(round) + ", and no charge for it is on the disk");
  for (const auto& [round, ending] : endings_) {
    if (round.task != task.spec.id) continue;
    if (ending.phase == store::RoundPhase::kPublished && !charged.contains(round.round))
      Complain(Text(round) + " was published without a charge");
  }
}

void History::CheckParticipations(store::Store& store, const TaskId& task,
                                  const std::map<DeviceId, std::uint64_t>& rounds) {
  const auto recorded = store.ParticipationCounts(task);
  if (!recorded) return Complain("participations cannot be read: " + recorded.error().message);
  std::map<DeviceId, std::uint64_t> found;
  for (const store::Participation& each : *recorded) found[each.device] = each.rounds;
  if (found != rounds) Complain("how often devices took part in " + task.str() + " is not what its rounds say");
}

}  // namespace tacit::simulation
