#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "server/doctor/checks.h"

namespace tacit::doctor {
namespace {

constexpr const char* kDisk = "disk";
constexpr std::uint64_t kMiB = 1024UL * 1024;
constexpr std::uint64_t kTooLittle = 256 * kMiB;
constexpr std::uint64_t kLittle = 2048 * kMiB;
// Every acknowledgement waits for one of them at least.
constexpr Millis kSlow{100};
constexpr std::size_t kWrites = 5;

/// Of a data directory that is still to be made, the directory that it will be in.
std::filesystem::path Existing(const std::filesystem::path& data_dir) {
  std::error_code failure;
  std::filesystem::path directory = std::filesystem::absolute(data_dir, failure);
  if (!directory.has_filename()) directory = directory.parent_path();
  return std::filesystem::exists(directory, failure) ? directory : directory.parent_path();
}

/// A file that has no name, so that nothing stays of it whatever happens; -1, with errno, when there can be none.
int OpenNameless(const std::filesystem::path& directory) {
  const int nameless = ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  const bool unknown_here = nameless < 0 && (errno == EOPNOTSUPP || errno == EISDIR);
  if (!unknown_here) return nameless;
  std::string path = (directory / ".doctor-XXXXXX").string();
  const int named = ::mkostemp(path.data(), O_CLOEXEC);
  if (named >= 0) ::unlink(path.c_str());
  return named;
}

/// The median time of a durable write; nothing, with errno, when the disk does not take it.
std::optional<SteadySpan> TimeOfWrite(int fd) {
  const std::array<char, 4096> block{};
  std::vector<SteadySpan> times;
  while (times.size() < kWrites) {
    const SteadyPoint start = std::chrono::steady_clock::now();
    const auto at = static_cast<off_t>(block.size() * times.size());
    if (::pwrite(fd, block.data(), block.size(), at) != static_cast<ssize_t>(block.size()) || ::fdatasync(fd) != 0)
      return std::nullopt;
    times.push_back(std::chrono::steady_clock::now() - start);
  }
  std::ranges::sort(times);
  return times[kWrites / 2];
}

std::string InMilliseconds(SteadySpan span) {
  std::array<char, 32> text{};
  const std::chrono::duration<double, std::milli> time = span;
  std::snprintf(text.data(), text.size(), "%.1f ms", time.count());
  return text.data();
}

Finding CheckWrites(const std::filesystem::path& directory) {
  const int fd = OpenNameless(directory);
  const auto time = fd < 0 ? std::nullopt : TimeOfWrite(fd);
  const std::string why = std::system_category().message(errno);
  if (fd >= 0) ::close(fd);
  if (!time) {
    return {.area = kDisk,
            .verdict = Verdict::kProblem,
            .what = "a file in " + directory.string() + " cannot be written and made durable: " + why,
            .next = "df -h " + directory.string() + "; or run this as the user that tacitd runs as"};
  }
  const std::string what = "a durable write takes " + InMilliseconds(*time);
  if (*time < kSlow) return Ok(kDisk, what);
  return {.area = kDisk,
          .verdict = Verdict::kWarning,
          .what = what + ", and every acknowledgement waits for one",
          .next = "put server.data_dir on a faster disk, or see with 'iostat -x 1' who else writes there"};
}

Finding CheckRoom(const std::filesystem::path& directory) {
  struct statvfs status{};
  Finding finding{.area = kDisk, .verdict = Verdict::kProblem, .what = {}, .next = {}};
  if (::statvfs(directory.c_str(), &status) != 0) {
    finding.what = "cannot look at " + directory.string() + ": " + std::system_category().message(errno);
    finding.next = "ls -ld " + directory.string();
    return finding;
  }
  if ((status.f_flag & ST_RDONLY) != 0) {
    finding.what = "the file system of " + directory.string() + " is mounted read-only";
    finding.next = "dmesg says whether a fault of the disk made it so; then: mount -o remount,rw";
    return finding;
  }
  const std::uint64_t free = std::uint64_t{status.f_bavail} * status.f_frsize;
  const bool full_of_names = status.f_files > 0 && status.f_favail == 0;
  finding.what = std::to_string(free / kMiB) + " MiB are free for " + directory.string() +
                 (full_of_names ? ", but no inode for another file" : "");
  if (free >= kLittle && !full_of_names) return Ok(kDisk, finding.what);
  if (free >= kTooLittle && !full_of_names) finding.verdict = Verdict::kWarning;
  finding.next = "make room: while nothing can be written, updates are refused and rounds wait";
  return finding;
}

}  // namespace

Findings CheckDisk(const app::ServerConfig& config) {
  const std::filesystem::path directory = Existing(config.data_dir);
  return {CheckRoom(directory), CheckWrites(directory)};
}

}  // namespace tacit::doctor
