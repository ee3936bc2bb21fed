#include "tests/simulation/simulated_disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <string_view>
#include <system_error>
#include <utility>

#include "common/base/check.h"

namespace tacit::simulation {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kSector = 512;

SimulatedDisk* g_disk = nullptr;

fs::path PathOf(int file) {
  std::error_code ignored;
  return fs::read_symlink("/proc/self/fd/" + std::to_string(file), ignored);
}

int Sync(int file, long call) {
  const bool watched = g_disk != nullptr && g_disk->Watches(file);
  if (watched && !g_disk->BeforeSync()) {
    errno = EIO;
    return -1;
  }
  if (watched) g_disk->AfterSync(file);  // nothing here needs the real disk
  return watched ? 0 : static_cast<int>(::syscall(call, file));
}

bool MayWrite(int file) {
  if (g_disk == nullptr || !g_disk->Watches(file) || g_disk->BeforeWrite()) return true;
  errno = ENOSPC;
  return false;
}

}  // namespace
}  // namespace tacit::simulation

// In front of libc's, for this program and for SQLite's library.
extern "C" int fsync(int file) {
  return tacit::simulation::Sync(file, SYS_fsync);
}
extern "C" int fdatasync(int file) {
  return tacit::simulation::Sync(file, SYS_fdatasync);
}
extern "C" ssize_t write(int file, const void* bytes, size_t count) {
  return tacit::simulation::MayWrite(file) ? ::syscall(SYS_write, file, bytes, count) : -1;
}
extern "C" ssize_t pwrite(int file, const void* bytes, size_t count, off_t at) {
  return tacit::simulation::MayWrite(file) ? ::syscall(SYS_pwrite64, file, bytes, count, at) : -1;
}
extern "C" ssize_t pwrite64(int file, const void* bytes, size_t count, off64_t at) {
  return pwrite(file, bytes, count, at);
}

namespace tacit::simulation {

SimulatedDisk::SimulatedDisk(fs::path directory, Random& random) : directory_(std::move(directory)), random_(random) {
  TACIT_CHECK(g_disk == nullptr, "one simulated disk at a time");
  RememberAll(directory_);
  g_disk = this;
}

SimulatedDisk::~SimulatedDisk() {
  g_disk = nullptr;
}

bool SimulatedDisk::Chance(double probability) {
  return std::uniform_real_distribution<double>(0, 1)(random_) < probability;
}

// ---- What is safe ----

SimulatedDisk::Listing SimulatedDisk::List(const fs::path& directory) {
  Listing listing;
  for (const auto& each : fs::directory_iterator(directory)) {
    struct stat status{};
    if (::lstat(each.path().c_str(), &status) == 0)
      listing.emplace(each.path().filename().string(), Entry{status.st_ino, status.st_mode});
  }
  return listing;
}

SimulatedDisk::Content SimulatedDisk::Read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary | std::ios::ate);
  if (!in) return {};
  Content content(static_cast<std::size_t>(in.tellg()));
  in.seekg(0).read(reinterpret_cast<char*>(content.data()), static_cast<std::streamsize>(content.size()));
  return content;
}

void SimulatedDisk::Remember(const Entry& entry, const fs::path& path) {
  if (S_ISDIR(entry.mode)) {
    safe_names_[entry.inode] = List(path);
  } else {
    safe_files_[entry.inode] = Read(path);
  }
}

void SimulatedDisk::RememberAll(const fs::path& directory) {
  struct stat status{};
  TACIT_CHECK(::lstat(directory.c_str(), &status) == 0, "the disk's own directories can be read");
  Remember({status.st_ino, status.st_mode}, directory);
  for (const auto& [name, entry] : List(directory)) {
    if (S_ISDIR(entry.mode)) {
      RememberAll(directory / name);
    } else {
      Remember(entry, directory / name);
    }
  }
}

bool SimulatedDisk::Watches(int file) const {
  const std::string path = PathOf(file).string();
  return std::string_view(path).starts_with(directory_.native());
}

bool SimulatedDisk::BeforeSync() {
  if (crashed()) return true;
  const bool counts = syncs_until_crash_ > 0;
  syncs_until_crash_ -= counts ? 1 : 0;
  if (counts && syncs_until_crash_ == 0) {
    ends_after_sync_ = Chance(0.5);
    if (!ends_after_sync_) CrashNow(how_);
    return true;
  }
  return !Chance(failure_);
}

void SimulatedDisk::AfterSync(int file) {
  if (crashed()) return;
  struct stat status{};
  if (!lies_ && ::fstat(file, &status) == 0) Remember({status.st_ino, status.st_mode}, PathOf(file));
  if (std::exchange(ends_after_sync_, false)) CrashNow(how_);
}

bool SimulatedDisk::BeforeWrite() {
  return crashed() || !Chance(failure_);
}

// ---- The crash ----

void SimulatedDisk::CrashAtSync(std::uint64_t syncs, Crash how) {
  syncs_until_crash_ = syncs;
  how_ = how;
}

void SimulatedDisk::CrashNow(Crash how) {
  if (crashed()) return;
  struct stat status{};
  TACIT_CHECK(::lstat(directory_.c_str(), &status) == 0, "the disk's own directory can be read");
  image_ = After(how, {status.st_ino, status.st_mode}, directory_);
}

// `now` is where the entry stands, when it still does.
SimulatedDisk::Node SimulatedDisk::After(Crash how, Entry entry, const std::optional<fs::path>& now) {
  Node node{.mode = entry.mode, .content = {}, .names = {}};
  if (!S_ISDIR(entry.mode)) {
    const Content& safe = safe_files_[entry.inode];
    const Content written = now ? Read(*now) : safe;
    node.content = how == Crash::kKill ? written : Torn(safe, written);
    return node;
  }
  const Listing& before = safe_names_[entry.inode];
  const Listing after = now ? List(*now) : Listing();
  Listing all = before;
  all.insert(after.begin(), after.end());
  for (const auto& [name, ignored] : all) {
    const auto old = before.find(name);
    const auto current = after.find(name);
    const bool same = old != before.end() && current != after.end() && old->second == current->second;
    const bool keeps_old = how == Crash::kPowerCut && !same && Chance(0.5);
    const auto& chosen = keeps_old ? old : current;
    if (chosen == (keeps_old ? before.end() : after.end())) continue;
    node.names.emplace(
        name, After(how, chosen->second, keeps_old || !now ? std::nullopt : std::optional<fs::path>(*now / name)));
  }
  return node;
}

// A length is the old or the new. A sector that both have is written whole or not at all; one that only the new has may
// have been added to the length alone; one that only the old has was cut off whole, or not at all.
SimulatedDisk::Content SimulatedDisk::Torn(const Content& safe, const Content& written) {
  if (safe == written) return safe;
  Content torn(Chance(0.5) ? safe.size() : written.size());
  for (std::size_t at = 0; at < torn.size(); at += kSector) {
    const Content& from = at >= written.size() || Chance(0.5) ? safe : written;
    const std::size_t end = std::min({at + kSector, from.size(), torn.size()});
    if (at < end) std::copy(from.data() + at, from.data() + end, torn.data() + at);
  }
  return torn;
}

void SimulatedDisk::Write(const Node& node, const fs::path& path) {
  if (!S_ISDIR(node.mode)) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(node.content.data()), static_cast<std::streamsize>(node.content.size()));
  } else {
    fs::create_directory(path);
    for (const auto& [name, each] : node.names) Write(each, path / name);
  }
  ::chmod(path.c_str(), node.mode & 07777U);
}

void SimulatedDisk::Restart() {
  const Node image = std::move(Present(image_, "a disk is restarted after a crash"));
  image_.reset();
  failure_ = 0;
  syncs_until_crash_ = 0;
  fs::remove_all(directory_);
  Write(image, directory_);
  safe_files_.clear();
  safe_names_.clear();
  RememberAll(directory_);
}

}  // namespace tacit::simulation
