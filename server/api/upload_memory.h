#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/net/executor.h"
#include "dp/update.h"
#include "proto/codec/agent.h"
#include "proto/codec/limits.h"

namespace tacit::api {

/// Which update it is, and whose: only the same may go on where one broke off.
struct UploadName {
  RoundKey round;
  Digest256 key{};  ///< That the device's certificate is for.
  codec::UpdateHeader header;
  bool operator==(const UploadName&) const = default;
};

/// An update of which some has come: all that is needed to go on.
struct BegunUpload {
  UploadName name;
  SteadyTime begun;  ///< When its first byte was waited for.
  dp::UpdateIntake intake;
  Xxh3Stream digest;  ///< Of what has come.
};

/// The memory that updates are received into: together never more than the limit, whatever clients do, and given out in
/// the order in which devices first asked. A buffer that comes back is kept for the next of its size, because the first
/// touch of fresh pages costs more than decrypting what goes there.
/// Threads: any. Must outlive its buffers and shares.
class UploadMemory final : private BufferOwner {
 public:
  struct Options {
    std::uint64_t limit = 0;
    Millis patience{5'000};          ///< How long Take holds a device that has to wait.
    Millis place_lifetime{120'000};  ///< How long a device that was sent away keeps its place.
    std::size_t max_places = 100'000;
    std::uint32_t seats_per_device =
        2;  ///< That one device holds or waits for at once: a retry may meet its first try.
    std::uint64_t least_kept = codec::kLeastKeptBytes;  ///< Below so many bytes received a broken upload is not kept.
    Millis kept_lifetime{120'000};                      ///< How long a broken upload waits for its rest.
    std::uint64_t kept_bytes_per_second = 16'384;       ///< And it came so fast at least, after twice that time.
  };

  /// One of the few places that a device has among those who hold memory or wait for it; free again when it ends.
  class Seat {
   public:
    Seat(UploadMemory& owner, std::string device) : owner_(&owner), device_(std::move(device)) {}
    Seat(Seat&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), device_(std::move(other.device_)) {}
    Seat& operator=(Seat&&) = delete;
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;
    ~Seat() {
      if (owner_ != nullptr) owner_->Leave(device_);
    }

   private:
    UploadMemory* owner_;
    std::string device_;
  };
  /// A part of the limit for memory that is not a buffer; given back when it ends.
  class Share {
   public:
    Share(UploadMemory& owner, std::uint64_t bytes) : owner_(&owner), bytes_(bytes) {}
    Share(Share&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), bytes_(other.bytes_) {}
    Share& operator=(Share&&) = delete;
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    ~Share() {
      if (owner_ != nullptr) owner_->GiveBack(bytes_);
    }

   private:
    UploadMemory* owner_;
    std::uint64_t bytes_;
  };
  struct Taken {
    Seat seat;  ///< To be held for as long as the request lasts.
    AlignedBuffer memory;
    std::optional<Share> beside;  ///< Of what was asked for beside the buffer.
  };
  struct Wanted {
    std::size_t bytes = 0;   ///< Of the buffer.
    std::size_t beside = 0;  ///< Of memory that is elsewhere, and in use until the Share of it ends.
  };

  UploadMemory(Options options, const Clock& clock);
  ~UploadMemory();
  UploadMemory(const UploadMemory&) = delete;
  UploadMemory& operator=(const UploadMemory&) = delete;

  /// A buffer once it is this device's turn, and what is wanted beside it; or after `patience`, when it should come
  /// back: it then keeps its place before everyone who asked later. Errors: how long to stay away; at once for a device
  /// without a free seat. Shape: it Fits.
  net::Task<std::expected<Taken, Millis>> Take(DeviceId device, Wanted wanted);

  /// Keeps what has come of an update whose connection broke, until its device goes on, begins anew or takes too long,
  /// or anyone needs the memory: it never makes another wait. One a device, in half of the limit at most; the one that
  /// was kept first goes first.
  void Keep(const DeviceId& device, BegunUpload upload);

  struct Resumed {
    Seat seat;  ///< To be held for as long as the request lasts.
    BegunUpload upload;
  };
  /// What was kept of this update, when it is `offset` bytes: to one caller only. Errors: how many bytes it is; 0 when
  /// nothing is kept.
  std::expected<Resumed, std::uint64_t> Resume(const DeviceId& device, const UploadName& name, std::uint64_t offset);

  /// How many bytes are kept of the update with this digest; nothing while the device has another upload under way,
  /// which may end up here.
  std::optional<std::uint64_t> KeptBytes(const DeviceId& device, const RoundKey& round, const Digest256& key,
                                         const Digest128& digest);

  /// Nothing when `bytes` more do not fit now.
  std::optional<Share> TryShare(std::uint64_t bytes);

  [[nodiscard]] std::uint64_t used() const;
  /// How many devices wait in Take.
  [[nodiscard]] std::size_t waiting() const;
  /// What broken uploads take that are kept; no part of `used`.
  [[nodiscard]] std::uint64_t kept() const;
  [[nodiscard]] std::uint64_t limit() const { return options_.limit; }
  /// Whether it can be had while nothing else is in use. A buffer takes whole pages.
  [[nodiscard]] bool Fits(Wanted wanted) const { return RoomFor(wanted.bytes) + wanted.beside <= options_.limit; }

 private:
  struct Turn;
  class Leaving;
  /// Who asked first comes first; the number tells two of the same instant apart.
  using Place = std::pair<SteadyTime, std::uint64_t>;
  struct KeptPlace {
    Place place;
    SteadyTime until;
  };
  struct FreeMemory {
    void operator()(std::uint8_t* memory) const;
    std::size_t bytes = 0;
  };
  using Memory = std::unique_ptr<std::uint8_t, FreeMemory>;
  struct Broken {
    std::string device;
    BegunUpload upload;  ///< Its memory is `memory`.
    Memory memory;
    std::size_t size;
    SteadyTime until;
  };
  using BrokenUploads = std::list<Broken>;

  void TakeBack(std::uint8_t* memory, std::size_t size) noexcept override;
  void GiveBack(std::uint64_t bytes);
  std::optional<Seat> TakeSeat(const DeviceId& device);
  void Leave(const std::string& device);
  [[nodiscard]] std::size_t RoomFor(std::size_t bytes) const;
  /// Whether it has its buffer; otherwise it is in the queue.
  [[nodiscard]] bool GiveOrQueue(Turn& turn, SteadyTime now);
  // Under mutex_:
  void Grant(Turn& turn);
  std::optional<AlignedBuffer> Give(Wanted wanted);
  void LetNextIn();
  /// Makes `room` fit beside what is in use, out of what is kept. Shape: it does without all that is kept.
  void MakeRoom(std::uint64_t room);
  BegunUpload TakeUp(BrokenUploads::iterator broken);
  void Forget(BrokenUploads::iterator upload);
  void ForgetAll();
  void ForgetLate(SteadyTime now);
  /// The device's, when it is not late.
  BrokenUploads::iterator FindBroken(const std::string& device);
  Place PlaceOf(const std::string& device, SteadyTime now);
  Millis SendAway(const Turn& turn, SteadyTime now);

  const Options options_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::uint64_t used_ = 0;
  std::uint64_t kept_ = 0;
  std::multimap<std::size_t, Memory> free_;  ///< By size.
  BrokenUploads broken_;                     ///< In the order in which they broke; their memory is in kept_.
  std::unordered_map<std::string, BrokenUploads::iterator> broken_by_device_;
  std::uint64_t broken_bytes_ = 0;
  std::map<Place, Turn*> waiting_;
  std::unordered_map<std::string, KeptPlace> places_;
  std::unordered_map<std::string, std::uint32_t> seats_;
  std::uint64_t asked_ = 0;
  // How fast memory came back lately, for a guess of when a place's turn is.
  SteadyTime window_began_{};
  std::uint64_t window_bytes_ = 0;
  double bytes_per_second_ = 0;
};

}  // namespace tacit::api
