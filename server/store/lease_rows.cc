#include <algorithm>
#include <string>
#include <utility>

#include "server/store/rows.h"
#include "server/store/sqlite_store.h"

// Who has a lease for which version of a model, and for which key of his.
namespace tacit::store {

namespace {

/// A row of device_keys; `known` is false where the point was forgotten.
struct KeyRow {
  DeviceKeyRecord key;
  bool known = false;
};

Result<KeyRow> TakeKey(Query& query) {
  KeyRow row;
  row.key.epoch = query.TakeU64();
  row.known = !query.SkipNull();
  if (row.known) row.key.point = query.TakeDigest<crypto::P256Point>();
  row.key.tier = query.TakeText();
  row.key.recorded_at = query.TakeTime();
  return row;
}

Result<std::optional<KeyRow>> FindKey(Database& database, const DeviceId& device) {
  TACIT_TRY(Query query, database.Prepare("SELECT epoch, point, tier, recorded_at FROM device_keys WHERE device = ?"));
  query.Bind(device.str());
  return TakeFirst(std::move(query), TakeKey);
}

Result<ModelLeaseRecord> TakeLease(Query& query) {
  TACIT_TRY(TaskId task, TakeName<TaskId>(query));
  TACIT_TRY(DeviceId device, TakeName<DeviceId>(query));
  ModelLeaseRecord lease{.task = std::move(task), .device = std::move(device), .leased_at = {}, .expires_at = {}};
  lease.version = query.TakeU64();
  lease.leases = query.TakeU64();
  lease.leased_at = query.TakeTime();
  lease.expires_at = query.TakeTime();
  return lease;
}

Result<std::optional<ModelLeaseRecord>> FindLease(Database& database, const TaskId& task, const DeviceId& device) {
  TACIT_TRY(Query query, database.Prepare("SELECT * FROM model_leases WHERE task = ? AND device = ?"));
  query.Bind(task.str()).Bind(device.str());
  return TakeFirst(std::move(query), TakeLease);
}

Result<DeviceKeyRecord> PutKey(Database& database, const ModelLeaseStep& step, std::uint64_t epoch) {
  TACIT_TRY(Query put, database.Prepare("INSERT INTO device_keys (device, epoch, point, tier, recorded_at)"
                                        " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (device) DO UPDATE"
                                        " SET epoch = ?2, point = ?3, tier = ?4, recorded_at = ?5"));
  put.Bind(step.device.str()).Bind(epoch).Bind(ByteSpan(step.key)).Bind(step.tier).Bind(step.at);
  TACIT_TRY_VOID(put.Run());
  return DeviceKeyRecord{.epoch = epoch, .point = step.key, .tier = step.tier, .recorded_at = step.at};
}

/// The device's key, which is now the one that it asks with, if it was none before.
Result<DeviceKeyRecord> SettleKey(Database& database, const ModelLeaseStep& step) {
  TACIT_TRY(const std::optional<KeyRow> row, FindKey(database, step.device));
  if (!row) return PutKey(database, step, 1);
  if (!row->known) return PutKey(database, step, row->key.epoch + 1);
  if (row->key.point != step.key) {
    return Fail(ErrorCode::kConflict, "models of device '" + step.device.str() +
                                          "' are encrypted to another key than the one it shows: a new enrolment token "
                                          "for its name lets it show another one");
  }
  if (row->key.tier == step.tier) return row->key;
  TACIT_TRY(Query update, database.Prepare("UPDATE device_keys SET tier = ? WHERE device = ?"));
  TACIT_TRY_VOID(update.Bind(step.tier).Bind(step.device.str()).Run());
  DeviceKeyRecord key = row->key;
  key.tier = step.tier;
  return key;
}

Result<void> PutLease(Database& database, const ModelLeaseStep& step) {
  TACIT_TRY(const std::optional<ModelLeaseRecord> before, FindLease(database, step.task, step.device));
  if (before && before->version > step.version) {
    return Fail(ErrorCode::kConflict, "device '" + step.device.str() + "' has had version " +
                                          std::to_string(before->version) + " of task '" + step.task.str() +
                                          "', and is given no older one");
  }
  TACIT_TRY(Query put,
            database.Prepare("INSERT INTO model_leases (task, device, version, leases, leased_at, expires_at)"
                             " VALUES (?1, ?2, ?3, 1, ?4, ?5) ON CONFLICT (task, device) DO UPDATE"
                             " SET version = ?3, leases = leases + 1, leased_at = ?4, expires_at = ?5"));
  return put.Bind(step.task.str()).Bind(step.device.str()).Bind(step.version).Bind(step.at).Bind(step.expires_at).Run();
}

}  // namespace

Result<DeviceKeyRecord> SqliteStore::LeaseModel(const ModelLeaseStep& step) {
  TACIT_TRY(Transaction transaction, Transaction::Begin(*database_));
  TACIT_TRY(const DeviceRecord device, Device(step.device));
  if (device.state == DeviceState::kRevoked) {
    return Fail(ErrorCode::kPermissionDenied, "device '" + step.device.str() + "' is revoked");
  }
  TACIT_TRY(DeviceKeyRecord key, SettleKey(*database_, step));
  TACIT_TRY_VOID(PutLease(*database_, step));
  TACIT_TRY_VOID(CommitStep(transaction, "model_lease"));
  return key;
}

Result<std::optional<DeviceKeyRecord>> SqliteStore::DeviceKey(const DeviceId& device) {
  TACIT_TRY(std::optional<KeyRow> row, FindKey(*database_, device));
  if (!row || !row->known) return std::nullopt;
  return std::move(row->key);
}

Result<std::vector<ModelLeaseRecord>> SqliteStore::ModelLeases(const DeviceId& device) {
  TACIT_TRY(Query query, database_->Prepare("SELECT * FROM model_leases WHERE device = ? ORDER BY task"));
  query.Bind(device.str());
  return TakeAll(std::move(query), TakeLease);
}

Result<std::optional<ModelLeaseRecord>> SqliteStore::ModelLease(const TaskId& task, const DeviceId& device) {
  return FindLease(*database_, task, device);
}

Result<std::vector<LeasedVersion>> SqliteStore::LeasedVersions(const TaskId& task, WallTime now, std::size_t limit) {
  TACIT_TRY(Query query, database_->Prepare("SELECT version, count(*), sum(expires_at > ?1), sum(leases)"
                                            " FROM model_leases WHERE task = ?2 GROUP BY version"
                                            " ORDER BY version DESC LIMIT ?3"));
  query.Bind(now).Bind(task.str()).Bind(limit);
  return TakeAll(std::move(query), [](Query& row) -> Result<LeasedVersion> {
    LeasedVersion read;
    read.version = row.TakeU64();
    read.devices = row.TakeU64();
    read.running = row.TakeU64();
    read.leases = row.TakeU64();
    return read;
  });
}

}  // namespace tacit::store
