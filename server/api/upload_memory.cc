#include "server/api/upload_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <iterator>

#include "common/base/check.h"
#include "common/net/wake_up.h"

namespace tacit::api {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kHugePage = std::size_t{2} << 20U;
constexpr Millis kWindow{2'000};
constexpr Millis kShortestAbsence{1'000};
constexpr Millis kLongestAbsence{60'000};

std::size_t RoundUp(std::size_t bytes, std::size_t unit) {
  return (std::max<std::size_t>(bytes, 1) + unit - 1) / unit * unit;
}

/// Null where the system has none.
std::uint8_t* Map(std::size_t bytes) {
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  if (bytes >= kHugePage) ::madvise(memory, bytes, MADV_HUGEPAGE);  // a hint: without it only the first touch is slower
  return static_cast<std::uint8_t*>(memory);
}

}  // namespace

void UploadMemory::FreeMemory::operator()(std::uint8_t* memory) const {
  ::munmap(memory, bytes);
}

struct UploadMemory::Turn {
  std::string device;
  Place place;
  Wanted wanted;
  net::WakeUp wake;
  std::optional<AlignedBuffer> granted;
  std::optional<Share> beside;
};

/// Whatever ends it, also an exception or the coroutine's end where it waits, takes the turn out of the queue if it is
/// there. A buffer that the turn was given by then goes back with the turn.
class UploadMemory::Leaving {
 public:
  Leaving(UploadMemory& owner, const Turn& turn) : owner_(owner), turn_(turn) {}
  ~Leaving() {
    const std::scoped_lock lock(owner_.mutex_);
    const auto found = owner_.waiting_.find(turn_.place);
    if (found == owner_.waiting_.end() || found->second != &turn_) return;
    owner_.waiting_.erase(found);
    owner_.LetNextIn();
  }
  Leaving(const Leaving&) = delete;
  Leaving& operator=(const Leaving&) = delete;

 private:
  UploadMemory& owner_;
  const Turn& turn_;
};

/// What a buffer takes of the limit: whole pages, large ones where it is large, but never more than there is.
std::size_t UploadMemory::RoomFor(std::size_t bytes) const {
  const std::size_t large = RoundUp(bytes, kHugePage);
  if (bytes >= kHugePage && large <= options_.limit) return large;
  return std::max(bytes, std::min<std::size_t>(RoundUp(bytes, kPage), options_.limit));
}

std::optional<UploadMemory::Seat> UploadMemory::TakeSeat(const DeviceId& device) {
  const std::scoped_lock lock(mutex_);
  std::uint32_t& taken = seats_[device.str()];
  if (taken >= options_.seats_per_device) return std::nullopt;
  ++taken;
  return std::optional<Seat>(std::in_place, *this, device.str());
}

void UploadMemory::Leave(const std::string& device) {
  const std::scoped_lock lock(mutex_);
  const auto found = seats_.find(device);
  if (--found->second == 0) seats_.erase(found);
}

UploadMemory::UploadMemory(Options options, const Clock& clock)
    : options_(options), clock_(clock), window_began_(clock.SteadyNow()) {}

UploadMemory::~UploadMemory() {
  TACIT_CHECK(used_ == 0, "all buffers and shares end before the memory they are of");
}

std::uint64_t UploadMemory::used() const {
  const std::scoped_lock lock(mutex_);
  return used_;
}

std::uint64_t UploadMemory::kept() const {
  const std::scoped_lock lock(mutex_);
  return broken_bytes_;
}

std::size_t UploadMemory::waiting() const {
  const std::scoped_lock lock(mutex_);
  return waiting_.size();
}

net::Task<std::expected<UploadMemory::Taken, Millis>> UploadMemory::Take(DeviceId device, Wanted wanted) {
  std::optional<Seat> seat = TakeSeat(device);
  if (!seat) co_return std::unexpected(kShortestAbsence);
  const SteadyTime now = clock_.SteadyNow();
  Turn turn{.device = device.str(),
            .place = {},
            .wanted = wanted,
            .wake = {},
            .granted = std::nullopt,
            .beside = std::nullopt};
  {
    // There before the queue may hold the turn, and gone before the turn is looked at: as long as it is in the queue,
    // others write to it.
    const Leaving leaving(*this, turn);
    if (!GiveOrQueue(turn, now)) co_await turn.wake.WaitUntil(now + options_.patience);
  }
  if (turn.granted) {
    co_return Taken{.seat = std::move(Present(seat, "taken above")),
                    .memory = std::move(Present(turn.granted, "just asked")),
                    .beside = std::move(turn.beside)};
  }
  const std::scoped_lock lock(mutex_);
  co_return std::unexpected(SendAway(turn, clock_.SteadyNow()));
}

bool UploadMemory::GiveOrQueue(Turn& turn, SteadyTime now) {
  const std::scoped_lock lock(mutex_);
  if (const auto broken = FindBroken(turn.device); broken != broken_.end()) Forget(broken);  // it begins anew
  turn.place = PlaceOf(turn.device, now);
  // Whoever is before everyone who waits may have what there is; nobody else.
  const bool first = waiting_.empty() || turn.place < waiting_.begin()->first;
  if (first) Grant(turn);
  if (!turn.granted) {
    // Who went on with one of these would come before this one.
    ForgetAll();
    waiting_.emplace(turn.place, &turn);
    return false;
  }
  places_.erase(turn.device);
  return true;
}

std::optional<UploadMemory::Share> UploadMemory::TryShare(std::uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  // What waits has asked before.
  if (!waiting_.empty() || bytes > options_.limit - used_) return std::nullopt;
  MakeRoom(bytes);
  used_ += bytes;
  return std::optional<Share>(std::in_place, *this, bytes);
}

void UploadMemory::GiveBack(std::uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  used_ -= bytes;
  LetNextIn();
}

void UploadMemory::TakeBack(std::uint8_t* memory, std::size_t size) noexcept {
  const std::size_t room = RoomFor(size);
  const std::scoped_lock lock(mutex_);
  free_.emplace(room, Memory(memory, FreeMemory{room}));
  kept_ += room;
  used_ -= room;
  window_bytes_ += room;
  const SteadyTime now = clock_.SteadyNow();
  if (now - window_began_ >= kWindow) {
    bytes_per_second_ = static_cast<double>(window_bytes_) / std::chrono::duration<double>(now - window_began_).count();
    window_began_ = now;
    window_bytes_ = 0;
  }
  LetNextIn();
}

void UploadMemory::Grant(Turn& turn) {
  turn.granted = Give(turn.wanted);
  if (turn.granted && turn.wanted.beside > 0) turn.beside.emplace(*this, turn.wanted.beside);
}

std::optional<AlignedBuffer> UploadMemory::Give(Wanted wanted) {
  const std::size_t room = RoomFor(wanted.bytes);
  if (room + wanted.beside > options_.limit - used_) return std::nullopt;
  std::uint8_t* memory = nullptr;
  if (const auto [first, last] = free_.equal_range(room); first != last) {
    const auto latest = std::prev(last);  // the likeliest to be in a cache still
    memory = latest->second.release();
    free_.erase(latest);
    kept_ -= room;
    MakeRoom(room + wanted.beside);
  } else {
    MakeRoom(room + wanted.beside);
    memory = Map(room);
    if (memory == nullptr) return std::nullopt;
  }
  used_ += room + wanted.beside;
  return AlignedBuffer(memory, wanted.bytes, *this);
}

void UploadMemory::MakeRoom(std::uint64_t room) {
  while (used_ + kept_ + room > options_.limit) {
    if (free_.empty()) Forget(broken_.begin());
    kept_ -= free_.begin()->first;
    free_.erase(free_.begin());
  }
}

void UploadMemory::Keep(const DeviceId& device, BegunUpload upload) {
  const SteadyTime now = clock_.SteadyNow();
  const std::uint64_t received = upload.intake.received();
  const SteadyTime slowest =
      upload.begun + 2 * options_.kept_lifetime + std::chrono::seconds(received / options_.kept_bytes_per_second);
  const SteadyTime until = std::min(now + options_.kept_lifetime, slowest);
  // What is not kept comes back by itself, after the lock.
  AlignedBuffer memory = upload.intake.LendMemory();
  const std::size_t size = memory.size();
  const std::size_t room = RoomFor(size);
  const std::scoped_lock lock(mutex_);
  ForgetLate(now);
  if (const auto before = FindBroken(device.str()); before != broken_.end()) Forget(before);
  if (received < options_.least_kept || until <= now || room > options_.limit / 2 || !waiting_.empty()) return;
  while (broken_bytes_ + room > options_.limit / 2) Forget(broken_.begin());
  used_ -= room;
  kept_ += room;
  broken_bytes_ += room;
  broken_.push_back({.device = device.str(),
                     .upload = std::move(upload),
                     .memory = Memory(memory.Release(), FreeMemory{room}),
                     .size = size,
                     .until = until});
  broken_by_device_.emplace(device.str(), std::prev(broken_.end()));
}

std::expected<UploadMemory::Resumed, std::uint64_t> UploadMemory::Resume(const DeviceId& device, const UploadName& name,
                                                                         std::uint64_t offset) {
  std::optional<Seat> seat = TakeSeat(device);
  if (!seat) return std::unexpected(std::uint64_t{0});
  std::optional<BegunUpload> upload;
  std::uint64_t found = 0;
  {
    const std::scoped_lock lock(mutex_);
    const auto broken = FindBroken(device.str());
    if (broken != broken_.end() && broken->upload.name == name) {
      found = broken->upload.intake.received();
      if (found == offset) upload = TakeUp(broken);
    }
  }
  if (!upload) return std::unexpected(found);
  return Resumed{.seat = std::move(Present(seat, "taken above")), .upload = std::move(Present(upload, "just asked"))};
}

BegunUpload UploadMemory::TakeUp(BrokenUploads::iterator broken) {
  const std::size_t room = broken->memory.get_deleter().bytes;
  BegunUpload upload = std::move(broken->upload);
  upload.intake.GiveMemory(AlignedBuffer(broken->memory.release(), broken->size, *this));
  used_ += room;
  kept_ -= room;
  broken_bytes_ -= room;
  broken_by_device_.erase(broken->device);
  broken_.erase(broken);
  return upload;
}

std::optional<std::uint64_t> UploadMemory::KeptBytes(const DeviceId& device, const RoundKey& round,
                                                     const Digest256& key, const Digest128& digest) {
  const std::scoped_lock lock(mutex_);
  const auto broken = FindBroken(device.str());
  if (broken != broken_.end()) {
    const UploadName& name = broken->upload.name;
    const bool same = name.round == round && name.key == key && name.header.payload_digest == digest;
    return same ? broken->upload.intake.received() : 0;
  }
  if (seats_.contains(device.str())) return std::nullopt;
  return 0;
}

UploadMemory::BrokenUploads::iterator UploadMemory::FindBroken(const std::string& device) {
  const auto found = broken_by_device_.find(device);
  if (found == broken_by_device_.end()) return broken_.end();
  if (clock_.SteadyNow() < found->second->until) return found->second;
  Forget(found->second);
  return broken_.end();
}

void UploadMemory::Forget(BrokenUploads::iterator upload) {
  const std::size_t room = upload->memory.get_deleter().bytes;
  free_.emplace(room, std::move(upload->memory));
  broken_bytes_ -= room;
  broken_by_device_.erase(upload->device);
  broken_.erase(upload);
}

void UploadMemory::ForgetAll() {
  while (!broken_.empty()) Forget(broken_.begin());
}

void UploadMemory::ForgetLate(SteadyTime now) {
  for (auto each = broken_.begin(); each != broken_.end();) {
    const auto next = std::next(each);
    if (each->until <= now) Forget(each);
    each = next;
  }
}

void UploadMemory::LetNextIn() {
  while (!waiting_.empty()) {
    Turn& next = *waiting_.begin()->second;
    Grant(next);
    if (!next.granted) return;
    places_.erase(next.device);
    waiting_.erase(waiting_.begin());
    next.wake.Wake();
  }
}

UploadMemory::Place UploadMemory::PlaceOf(const std::string& device, SteadyTime now) {
  const auto kept = places_.find(device);
  const Place fresh{now, asked_++};
  if (kept == places_.end() || kept->second.until < now) return fresh;
  // A device with two connections has one place; the second asks anew.
  return waiting_.find(kept->second.place) == waiting_.end() ? kept->second.place : fresh;
}

/// How long until its turn, as fast as memory came back lately.
Millis UploadMemory::SendAway(const Turn& turn, SteadyTime now) {
  std::uint64_t before = turn.wanted.bytes;
  for (const auto& [place, other] : waiting_) {
    if (place < turn.place) before += other->wanted.bytes;
  }
  const double seconds = static_cast<double>(before) / std::max(bytes_per_second_, 1.0);
  const Millis absence =
      std::clamp(Millis(static_cast<std::int64_t>(std::min(1e6, 1e3 * seconds))), kShortestAbsence, kLongestAbsence);
  if (places_.size() >= options_.max_places)
    std::erase_if(places_, [&](const auto& entry) { return entry.second.until < now; });
  if (places_.size() < options_.max_places)
    places_.insert_or_assign(turn.device, KeptPlace{turn.place, now + options_.place_lifetime});
  return absence;
}

}  // namespace tacit::api
