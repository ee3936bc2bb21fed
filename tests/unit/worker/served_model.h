#pragma once

#include <fcntl.h>

#include <condition_variable>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "edge_agent/worker/supervisor.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/worker/attempts.h"
#include "tests/unit/worker/test_model.h"

namespace tacit::worker::testing {

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

/// Far beyond what anything takes on a machine that does too much at once.
inline constexpr std::chrono::seconds kPatience{60};
inline SteadyPoint Soon() {
  return std::chrono::steady_clock::now() + kPatience;
}

/// confined_worker, beside this test; the kernel lacks `lacking` (see there).
inline WorkerProcessOptions ConfinedWorker(const std::string& lacking = "-") {
  WorkerProcessOptions options;
  options.program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "confined_worker";
  options.command = {lacking};
  options.memory_limit = std::size_t{1} << 20U;
  options.frame_limit = std::size_t{1} << 20U;
  if (kSanitized) options.overhead = 0;
  return options;
}

/// A version in a file of its own.
class TestSource final : public ModelSource {
 public:
  TestSource(const std::filesystem::path& directory, std::uint32_t version)
      : path_(directory / std::to_string(version)), version_(version) {
    const Bytes file = EncryptedModel(version, kKey);
    std::ofstream(path_, std::ios::binary).write(reinterpret_cast<const char*>(file.data()), kTestModelSize);
  }
  Result<Opened> Open() override {
    Opened opened{
        .file = OwnedFd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC)), .opening = Bytes(sizeof kKey), .until = until};
    std::memcpy(opened.opening.data(), &kKey, sizeof kKey);
    if (!opened.file) return Fail(ErrorCode::kNotFound, "the model's file is gone");
    return opened;
  }
  [[nodiscard]] std::string version() const override { return std::to_string(version_); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  std::optional<SteadyPoint> until = {};

 private:
  static constexpr std::uint64_t kKey = 0x6b65796b65796b65;
  std::filesystem::path path_;
  std::uint32_t version_;
};

/// What a supervisor tells, for a test that waits for it.
class Events {
 public:
  std::function<void(const Event&)> listener() {
    return [this](const Event& event) {
      const std::scoped_lock lock(mutex_);
      events_.push_back(event);
      more_.notify_all();
    };
  }
  /// The next of that kind; those before it are forgotten.
  Event Next(EventKind kind) {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (!more_.wait_for(lock, kPatience, [this] { return !events_.empty(); })) {
        ADD_FAILURE() << "no event " << NameOf(kind) << " came";
        return {};
      }
      Event event = std::move(events_.front());
      events_.pop_front();
      if (event.kind == kind) return event;
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable more_;
  std::deque<Event> events_;
};

/// A supervisor of confined_worker.
class Supervised {
 public:
  explicit Supervised(WorkerProcessOptions process = ConfinedWorker(), std::vector<protect::Measure> required = {})
      : supervisor({.process = std::move(process),
                    .health_interval = Millis(200),
                    .first_backoff = Millis(10),
                    .longest_backoff = Millis(1000),
                    .required = std::move(required),
                    .on_event = events.listener()}) {}

  std::shared_ptr<TestSource> Source(std::uint32_t version) {
    return std::make_shared<TestSource>(directory.path(), version);
  }
  /// One row.
  Result<float> Ask(Attempt attempt, float x = 0, SteadyPoint deadline = Soon()) {
    const std::array<float, kInputs> row = {static_cast<float>(attempt), x};
    const ByteSpan input = AsBytes(std::span<const float>(row));
    TACIT_TRY(const Answer answer, supervisor.Infer(1, std::span(&input, 1), deadline));
    float y = 0;
    std::memcpy(&y, answer.outputs[0].data(), sizeof y);
    return y;
  }

  ::tacit::testing::TempDirectory directory;
  Events events;
  Supervisor supervisor;
};

}  // namespace tacit::worker::testing
