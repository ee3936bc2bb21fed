#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace tacit::simulation {

/// How a process ends that nobody asked to end.
enum class Crash : std::uint8_t {
  kKill,      ///< What was written stays.
  kPowerCut,  ///< What was synced stays; of what was written since, any part: each sector and each name by itself.
};

/// A directory on a disk that can lose what it has not synced, fill up, and fail. It watches this program's own calls:
/// one at a time.
class SimulatedDisk {
 public:
  using Random = std::mt19937_64;

  SimulatedDisk(std::filesystem::path directory, Random& random);
  ~SimulatedDisk();
  SimulatedDisk(const SimulatedDisk&) = delete;
  SimulatedDisk& operator=(const SimulatedDisk&) = delete;

  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }

  /// The process ends at the `syncs`-th sync from now, before or after what it syncs is safe.
  void CrashAtSync(std::uint64_t syncs, Crash how);
  void CrashNow(Crash how);
  /// Whether it has; what happens from then on leaves no trace.
  [[nodiscard]] bool crashed() const { return image_.has_value(); }
  /// Puts what the crash left in place of everything that is there; afterwards the disk is as good as new.
  void Restart();

  /// From now on a sync, and a write, fails with this probability; writes as if the disk were full.
  void Fail(double probability) { failure_ = probability; }
  /// Says that everything is safe, and keeps nothing: the control that shows what the checks are worth.
  void Lie() { lies_ = true; }

  // For the calls in front of libc's. False for a call that is to fail.
  [[nodiscard]] bool Watches(int file) const;
  [[nodiscard]] bool BeforeSync();
  void AfterSync(int file);
  [[nodiscard]] bool BeforeWrite();

 private:
  using Content = std::vector<std::uint8_t>;
  using Path = std::filesystem::path;
  /// What stands behind a name.
  struct Entry {
    ino_t inode = 0;
    mode_t mode = 0;
    bool operator==(const Entry&) const = default;
  };
  using Listing = std::map<std::string, Entry>;
  /// A file or a directory as a restart finds it.
  struct Node {
    mode_t mode = 0;
    Content content;
    std::map<std::string, Node> names;
  };

  [[nodiscard]] bool Chance(double probability);
  [[nodiscard]] static Listing List(const Path& directory);
  [[nodiscard]] static Content Read(const Path& file);
  [[nodiscard]] Node After(Crash how, Entry entry, const std::optional<Path>& now);
  [[nodiscard]] Content Torn(const Content& safe, const Content& written);
  static void Write(const Node& node, const Path& path);
  void RememberAll(const Path& directory);
  void Remember(const Entry& entry, const Path& path);

  std::filesystem::path directory_;
  Random& random_;
  std::map<ino_t, Content> safe_files_;
  std::map<ino_t, Listing> safe_names_;
  std::uint64_t syncs_until_crash_ = 0;  // 0: never
  bool ends_after_sync_ = false;         // the next sync is safe, and the last thing that is
  Crash how_ = Crash::kKill;
  std::optional<Node> image_;
  double failure_ = 0;
  bool lies_ = false;
};

}  // namespace tacit::simulation
