#include "server/store/data_files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>

#include "common/base/files.h"
#include "common/base/text.h"
#include "common/crypto/digest.h"

namespace tacit::store {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPartialSuffix = ".sealed";
constexpr std::string_view kKeySuffix = ".key";

std::unexpected<Error> Unavailable(std::string_view doing, const fs::path& path, const std::error_code& why) {
  return Fail(ErrorCode::kUnavailable, std::string(doing) + " " + path.string() + ": " + why.message());
}

std::error_code LastError() {
  return {errno, std::system_category()};
}

/// A store's own file that cannot be written is the disk's fault, whatever the system calls it.
Result<void> AsUnavailable(Result<void> result) {
  if (result) return result;
  return Fail(ErrorCode::kUnavailable, result.error().message);
}

/// Removes a file that may be missing.
Result<void> Remove(const fs::path& path) {
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return Unavailable("cannot remove", path, LastError());
}

/// The names in a directory that may be missing.
Result<std::vector<std::string>> Names(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  if (error && error != std::errc::no_such_file_or_directory) return Unavailable("cannot list", directory, error);
  return names;
}

/// Of `<name>.XXXXXX`, which a crash inside WriteFileAtomic leaves, the name; of any other name, the name itself.
std::string_view Intended(std::string_view name) {
  constexpr std::size_t kSuffix = 7;
  const bool left_over = name.size() > kSuffix && name[name.size() - kSuffix] == '.' && !name.ends_with(kPartialSuffix);
  return left_over ? name.substr(0, name.size() - kSuffix) : name;
}

/// The digest in the name: after a commit whose outcome is unknown, a second attempt with other bytes must not replace
/// the file that the first attempt's row, should it come back in recovery, speaks of.
std::string PartialName(const PartialFile& file) {
  return std::to_string(file.sequence) + "-" + ToHex(file.digest) + std::string(kPartialSuffix);
}

std::optional<Digest256> ParseBlobName(std::string_view name) {
  Digest256 digest;
  if (name.size() != digest.size() * 2) return std::nullopt;
  const Result<Bytes> bytes = ParseHex(name);
  if (!bytes || ToHex(*bytes) != name) return std::nullopt;
  std::copy(bytes->begin(), bytes->end(), digest.begin());
  return digest;
}

/// `<task>-<round>.key`; a task's name may have dashes and digits of its own, so the last dash divides.
std::optional<RoundKey> ParseKeyName(std::string_view name) {
  if (!name.ends_with(kKeySuffix)) return std::nullopt;
  name.remove_suffix(kKeySuffix.size());
  const std::size_t dash = name.rfind('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const Result<TaskId> task = TaskId::Parse(name.substr(0, dash));
  const std::optional<std::uint64_t> round = ParseWhole(name.substr(dash + 1));
  if (!task || !round) return std::nullopt;
  return RoundKey{*task, *round};
}

/// Overwrites the file in place. On a file system that copies on write the old blocks stay until they are used again.
Result<void> Overwrite(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return Unavailable("cannot open", path, LastError());
  struct stat status{};
  bool good = ::fstat(fd, &status) == 0;
  const std::array<std::uint8_t, crypto::SecretKey::kSize> zeros{};
  for (off_t at = 0; good && at < status.st_size; at += static_cast<off_t>(zeros.size())) {
    good = ::pwrite(fd, zeros.data(), zeros.size(), at) == static_cast<ssize_t>(zeros.size());
  }
  good = good && ::fsync(fd) == 0;
  const std::error_code why = LastError();
  ::close(fd);
  if (!good) return Unavailable("cannot overwrite", path, why);
  return {};
}

/// A row says that the file is there: if it is not, or is another, that is no fault of whoever asked.
std::unexpected<Error> AsLost(Error error) {
  if (error.code != ErrorCode::kUnavailable) error.code = ErrorCode::kDataLoss;
  return std::unexpected(std::move(error));
}

Result<void> WriteNewKey(const fs::path& path, const crypto::SecretKey& secret) {
  if (::access(path.c_str(), F_OK) == 0) return Fail(ErrorCode::kConflict, path.string() + " exists already");
  // Not O_EXCL in place: a crash there could leave half a key that looks like one.
  return AsUnavailable(WriteFileAtomic(path, secret.bytes(), kOwnerOnly));
}

Result<crypto::SecretKey> ReadKeyFile(const fs::path& path) {
  Result<Bytes> bytes = ReadFile(path, crypto::SecretKey::kSize);
  if (!bytes) {
    const ErrorCode code = bytes.error().code;
    if (code == ErrorCode::kNotFound) return std::unexpected<Error>(bytes.error());
    return Fail(code == ErrorCode::kTooLarge ? ErrorCode::kDataLoss : ErrorCode::kUnavailable, bytes.error().message);
  }
  Result<crypto::SecretKey> secret = crypto::SecretKey::FromBytes(*bytes);
  const bool overwritten = std::all_of(bytes->begin(), bytes->end(), [](std::uint8_t byte) { return byte == 0; });
  crypto::Zeroise(*bytes);
  if (!secret) return Fail(ErrorCode::kDataLoss, path.string() + " does not hold a key");
  // A destruction that a crash cut in half is finished at the next start; until then the zeros must not pass for a key.
  if (overwritten) return Fail(ErrorCode::kNotFound, path.string() + " was destroyed");
  return secret;
}

}  // namespace

// XXH3 finds accidents; against attackers the bytes are sealed.
PartialFile PartialFile::Of(std::uint64_t sequence, ByteSpan sealed) {
  return {sequence, Xxh3(sealed), sealed.size()};
}

// That it is there does not say that its name is on the disk: whoever made it may have failed, or ended, before.
Result<void> DataFiles::MakeDirectories(const fs::path& parent, std::initializer_list<fs::path> names) {
  std::vector<fs::path> made;
  for (const fs::path& name : names) {
    fs::path path = parent / name;
    if (durable_directories_.contains(path)) continue;
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
      return Unavailable("cannot make the directory", path, LastError());
    made.push_back(std::move(path));
  }
  if (made.empty()) return {};
  TACIT_TRY_VOID(AsUnavailable(SyncDirectory(parent.empty() ? fs::path(".") : parent)));
  durable_directories_.insert(made.begin(), made.end());
  return {};
}

Result<DataFiles> DataFiles::Open(const fs::path& data_dir) {
  DataFiles files(data_dir);
  TACIT_TRY_VOID(files.MakeDirectories(data_dir.parent_path(), {data_dir.filename()}));
  const fs::path lock_path = data_dir / "lock";
  files.lock_ = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kOwnerOnly);
  if (files.lock_ < 0) return Unavailable("cannot open", lock_path, LastError());
  if (::flock(files.lock_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Unavailable("cannot lock", lock_path, LastError());
    return Fail(ErrorCode::kConflict,
                data_dir.string() + " is in use by another tacitd; stop it first, or use another data_dir");
  }
  TACIT_TRY_VOID(files.MakeDirectories(data_dir, {"models", "optimizer", "partials", "keys"}));
  return files;
}

DataFiles::DataFiles(DataFiles&& other) noexcept
    : data_dir_(std::move(other.data_dir_)),
      lock_(std::exchange(other.lock_, -1)),
      durable_directories_(std::move(other.durable_directories_)) {}

DataFiles& DataFiles::operator=(DataFiles&& other) noexcept {
  std::swap(data_dir_, other.data_dir_);
  std::swap(lock_, other.lock_);
  std::swap(durable_directories_, other.durable_directories_);
  return *this;
}

DataFiles::~DataFiles() {
  if (lock_ >= 0) ::close(lock_);  // which releases the lock
}

Result<bool> DataFiles::Empty() const {
  for (const std::string_view name : {"models", "optimizer", "partials", "keys"}) {
    TACIT_TRY(const std::vector<std::string> names, Names(data_dir_ / name));
    if (!names.empty()) return false;
  }
  return true;
}

fs::path DataFiles::BlobDirectory(BlobKind kind) const {
  return data_dir_ / (kind == BlobKind::kModel ? "models" : "optimizer");
}

fs::path DataFiles::PartialDirectory(const RoundKey& key) const {
  return data_dir_ / "partials" / key.task.str() / std::to_string(key.round);
}

fs::path DataFiles::KeyPath(const RoundKey& key) const {
  return data_dir_ / "keys" / (key.task.str() + "-" + std::to_string(key.round) + std::string(kKeySuffix));
}

Result<void> DataFiles::WriteBlob(BlobKind kind, const Digest256& digest, ByteSpan bytes) {
  return AsUnavailable(WriteFileAtomic(BlobDirectory(kind) / ToHex(digest), bytes, kOwnerOnly));
}

Result<SharedBytes> DataFiles::MapBlob(BlobKind kind, const Digest256& digest, std::uint64_t bytes) const {
  const fs::path path = BlobDirectory(kind) / ToHex(digest);
  auto content = MapFile(path, bytes);
  if (!content) return AsLost(content.error());
  if (crypto::Sha256(content->bytes) != digest) {
    return Fail(ErrorCode::kDataLoss, path.string() + " was changed: its SHA-256 is not its name");
  }
  return content;
}

void DataFiles::RemoveBlob(BlobKind kind, const Digest256& digest) {
  ::unlink((BlobDirectory(kind) / ToHex(digest)).c_str());
}

Result<void> DataFiles::WritePartial(const RoundKey& key, const PartialFile& file, ByteSpan sealed) {
  const fs::path directory = PartialDirectory(key);
  const fs::path task = directory.parent_path();
  TACIT_TRY_VOID(MakeDirectories(task.parent_path(), {task.filename()}));
  TACIT_TRY_VOID(MakeDirectories(task, {directory.filename()}));
  return AsUnavailable(WriteFileAtomic(directory / PartialName(file), sealed, kOwnerOnly));
}

Result<ByteSpan> DataFiles::ReadPartial(const RoundKey& key, const PartialFile& file, AlignedBuffer& room) const {
  const fs::path path = PartialDirectory(key) / PartialName(file);
  const std::span<std::uint8_t> sealed = room.AtLeast(static_cast<std::size_t>(file.bytes));
  if (const auto read = ReadFileInto(path, sealed); !read) return AsLost(read.error());
  if (Xxh3(sealed) != file.digest)
    return Fail(ErrorCode::kDataLoss, path.string() + " was changed: its digest differs");
  return ByteSpan(sealed);
}

void DataFiles::RemovePartial(const RoundKey& key, const PartialFile& file) {
  ::unlink((PartialDirectory(key) / PartialName(file)).c_str());
}

Result<void> DataFiles::RemovePartials(const RoundKey& key) {
  const fs::path directory = PartialDirectory(key);
  TACIT_TRY(const std::vector<std::string> names, Names(directory));
  for (const std::string& name : names) TACIT_TRY_VOID(Remove(directory / name));
  // Fails harmlessly while another round of the task has files.
  for (const fs::path& each : {directory, directory.parent_path()})
    if (::rmdir(each.c_str()) == 0) durable_directories_.erase(each);
  return {};
}

Result<void> DataFiles::WriteKey(const RoundKey& key, const crypto::SecretKey& secret) {
  return WriteNewKey(KeyPath(key), secret);
}

Result<crypto::SecretKey> DataFiles::ReadKey(const RoundKey& key) const {
  return ReadKeyFile(KeyPath(key));
}

Result<crypto::SecretKey> DataFiles::ReadOwnerKey() const {
  return ReadKeyFile(OwnerKeyPath());
}

Result<void> DataFiles::WriteOwnerKey(const crypto::SecretKey& secret) {
  return WriteNewKey(OwnerKeyPath(), secret);
}

Result<void> DataFiles::DestroyKey(const RoundKey& key, const std::function<void()>& after_overwrite) {
  const fs::path path = KeyPath(key);
  if (::access(path.c_str(), F_OK) != 0) return {};
  TACIT_TRY_VOID(Overwrite(path));
  if (after_overwrite) after_overwrite();
  TACIT_TRY_VOID(Remove(path));
  return AsUnavailable(SyncDirectory(path.parent_path()));
}

Result<void> DataFiles::Sweep(const Wanted& wanted) {
  TACIT_TRY_VOID(SweepBlobs(BlobKind::kModel, wanted));
  TACIT_TRY_VOID(SweepBlobs(BlobKind::kOptimizerState, wanted));
  TACIT_TRY_VOID(SweepPartials(wanted));
  return SweepKeys(wanted);
}

Result<void> DataFiles::SweepBlobs(BlobKind kind, const Wanted& wanted) {
  const fs::path directory = BlobDirectory(kind);
  TACIT_TRY(const std::vector<std::string> names, Names(directory));
  for (const std::string& name : names) {
    const std::optional<Digest256> digest = ParseBlobName(Intended(name));
    if (!digest) continue;  // not ours
    TACIT_TRY(const bool row, wanted.blob(kind, *digest));
    if (!row || Intended(name) != name) TACIT_TRY_VOID(Remove(directory / name));
  }
  return {};
}

Result<void> DataFiles::SweepPartials(const Wanted& wanted) {
  TACIT_TRY(const std::vector<std::string> tasks, Names(data_dir_ / "partials"));
  for (const std::string& task : tasks) {
    const Result<TaskId> id = TaskId::Parse(task);
    if (!id) continue;
    TACIT_TRY(const std::vector<std::string> rounds, Names(data_dir_ / "partials" / task));
    for (const std::string& round : rounds) {
      const std::optional<std::uint64_t> number = ParseWhole(round);
      if (number) TACIT_TRY_VOID(SweepPartialsOf({*id, *number}, wanted));
    }
  }
  return {};
}

Result<void> DataFiles::SweepPartialsOf(const RoundKey& key, const Wanted& wanted) {
  TACIT_TRY(const std::vector<PartialFile> rows, wanted.partials(key));
  if (rows.empty()) return RemovePartials(key);
  std::vector<std::string> stay;
  for (const PartialFile& file : rows) stay.push_back(PartialName(file));
  const fs::path directory = PartialDirectory(key);
  TACIT_TRY(const std::vector<std::string> names, Names(directory));
  for (const std::string& name : names) {
    if (Intended(name).ends_with(kPartialSuffix) && std::find(stay.begin(), stay.end(), name) == stay.end())
      TACIT_TRY_VOID(Remove(directory / name));
  }
  return {};
}

Result<void> DataFiles::SweepKeys(const Wanted& wanted) {
  const fs::path directory = data_dir_ / "keys";
  TACIT_TRY(const std::vector<std::string> names, Names(directory));
  for (const std::string& name : names) {
    const std::optional<RoundKey> key = ParseKeyName(Intended(name));
    if (!key) continue;  // not ours
    TACIT_TRY(const bool row, wanted.key(*key));
    if (row && Intended(name) == name) continue;
    TACIT_TRY_VOID(Overwrite(directory / name));
    TACIT_TRY_VOID(Remove(directory / name));
  }
  return AsUnavailable(SyncDirectory(directory));
}

}  // namespace tacit::store
