#include <array>
#include <string>

#include "common/crypto/digest.h"
#include "server/store/rows.h"
#include "server/store/sqlite_store.h"

// Tasks, and the models and optimiser states that they publish.
namespace tacit::store {

namespace {

constexpr std::array kTaskStates = {TaskState::kActive, TaskState::kFinished, TaskState::kBudgetExhausted,
                                    TaskState::kStopped};

Result<std::optional<dp::NoiseMultiplier>> TakeNoiseMultiplier(Query& query) {
  const std::optional<double> value = query.TakeOptionalReal();
  if (!value) return std::optional<dp::NoiseMultiplier>();
  TACIT_TRY(const dp::NoiseMultiplier noise_multiplier, dp::NoiseMultiplier::Create(*value));
  return noise_multiplier;
}

/// Columns: id, toml, noise_multiplier, grid_radius, bit_steps, clip_norm, created_at, state, state_reason.
Result<TaskRecord> TakeTask(Query& query) {
  TACIT_TRY(const TaskId id, TakeName<TaskId>(query));
  std::string toml = query.TakeText();
  TACIT_TRY(const std::optional<dp::NoiseMultiplier> noise_multiplier, TakeNoiseMultiplier(query));
  TACIT_TRY(const dp::GridRadius radius, dp::GridRadius::Create(static_cast<std::uint32_t>(query.TakeU64())));
  const auto bit_steps = static_cast<std::uint32_t>(query.TakeU64());
  auto spec = task::RestoreTask(toml, "task " + id.str() + " as stored", {noise_multiplier, radius, bit_steps});
  if (!spec) return Fail(ErrorCode::kDataLoss, spec.error().message);
  TACIT_TRY(const dp::ClipNorm clip_norm, dp::ClipNorm::Create(query.TakeReal()));
  TaskRecord record{
      .spec = *std::move(spec), .toml = std::move(toml), .created_at = query.TakeTime(), .state_reason = {}};
  TACIT_TRY(record.state, TakeWord(query, kTaskStates));
  record.state_reason = query.TakeText();
  record.clip_norm = clip_norm;
  return record;
}

/// Columns: task, version, digest, bytes, created_at.
Result<ModelRecord> TakeModel(Query& query) {
  TACIT_TRY(TaskId task, TakeName<TaskId>(query));
  ModelRecord model{.task = std::move(task), .created_at = {}};
  model.version = query.TakeU64();
  model.digest = query.TakeDigest<Digest256>();
  model.bytes = query.TakeU64();
  model.created_at = query.TakeTime();
  return model;
}

Result<ModelRecord> OneModel(Query query, const std::string& what) {
  TACIT_TRY(std::optional<ModelRecord> model, TakeFirst(std::move(query), TakeModel));
  if (!model) return Fail(ErrorCode::kNotFound, "there is no " + what);
  return *std::move(model);
}

Result<void> InsertTask(Database& database, const TaskRecord& record) {
  TACIT_TRY(Query insert,
            database.Prepare(
                "INSERT INTO tasks (id, toml, noise_multiplier, grid_radius, bit_steps, clip_norm, created_at, state,"
                " state_reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  const task::PlannedPrivacy planned = task::PlanOf(record.spec);
  insert.Bind(record.spec.id.str()).Bind(record.toml);
  if (planned.noise_multiplier) {
    insert.Bind(planned.noise_multiplier->value());
  } else {
    insert.BindNull();
  }
  insert.Bind(std::uint64_t{planned.grid_radius.value()})
      .Bind(std::uint64_t{planned.bit_steps})
      .Bind(record.clip_norm.value())
      .Bind(record.created_at);
  Result<void> inserted = insert.Bind(NameOf(record.state)).Bind(record.state_reason).Run();
  if (inserted || inserted.error().code != ErrorCode::kConflict) return inserted;
  return Fail(ErrorCode::kConflict, "a task named '" + record.spec.id.str() + "' exists already");
}

Result<void> WriteTaskState(Database& database, const TaskId& id, const TaskStateChange& change) {
  TACIT_TRY(Query update, database.Prepare("UPDATE tasks SET state = ?, state_reason = ? WHERE id = ?"));
  TACIT_TRY_VOID(update.Bind(NameOf(change.state)).Bind(change.reason).Bind(id.str()).Run());
  if (update.Changes() == 0) return Fail(ErrorCode::kNotFound, "there is no task '" + id.str() + "'");
  return {};
}

Result<void> WriteClipNorm(Database& database, const TaskId& id, dp::ClipNorm clip_norm) {
  TACIT_TRY(Query update, database.Prepare("UPDATE tasks SET clip_norm = ? WHERE id = ?"));
  return update.Bind(clip_norm.value()).Bind(id.str()).Run();
}

/// What a restart will do with the record, done while it can still be refused.
Result<void> CheckTask(const TaskRecord& record, std::span<const float> initial_model) {
  const task::TaskSpec& spec = record.spec;
  TACIT_TRY(const task::TaskSpec read, task::RestoreTask(record.toml, "task " + spec.id.str(), task::PlanOf(spec)));
  if (read.id != spec.id) {
    return Fail(ErrorCode::kInvalidArgument,
                "the task's text names '" + read.id.str() + "', its record " + spec.id.str());
  }
  if (initial_model.size() == spec.model.ParameterCount()) return {};
  return Fail(ErrorCode::kInvalidArgument, "the initial model has " + std::to_string(initial_model.size()) +
                                               " parameters; " + spec.model.CanonicalText() + " has " +
                                               std::to_string(spec.model.ParameterCount()));
}

}  // namespace

Result<void> SqliteStore::CreateTask(const TaskRecord& record, std::span<const float> initial_model) {
  TACIT_TRY_VOID(CheckTask(record, initial_model));
  const ByteSpan bytes = AsBytes(initial_model);
  const ModelRecord model{.task = record.spec.id,
                          .version = 0,
                          .digest = crypto::Sha256(bytes),
                          .bytes = bytes.size(),
                          .created_at = record.created_at};
  // Rows first, so that a conflict is found before a file is written; the file is durable before the rows are
  // committed.
  TACIT_TRY(Transaction step, Transaction::Begin(*database_));
  TACIT_TRY_VOID(InsertTask(*database_, record));
  TACIT_TRY_VOID(AddModel(model));
  TACIT_TRY_VOID(files_.WriteBlob(BlobKind::kModel, model.digest, bytes));
  After("task_model_file");
  return CommitStep(step, "task_rows");
}

Result<std::vector<TaskRecord>> SqliteStore::Tasks() {
  TACIT_TRY(Query query,
            database_->Prepare("SELECT id, toml, noise_multiplier, grid_radius, bit_steps, clip_norm, created_at,"
                               " state, state_reason FROM tasks ORDER BY ordinal"));
  return TakeAll(std::move(query), TakeTask);
}

Result<void> SqliteStore::SetTaskState(const TaskId& id, const TaskStateChange& change) {
  TACIT_TRY_VOID(WriteTaskState(*database_, id, change));
  After("task_state");
  return {};
}

Result<void> SqliteStore::AddModel(const ModelRecord& model) {
  TACIT_TRY(Query insert,
            database_->Prepare("INSERT INTO models (task, version, digest, bytes, created_at) VALUES (?, ?, ?, ?, ?)"));
  return insert.Bind(model.task.str())
      .Bind(model.version)
      .Bind(model.digest)
      .Bind(model.bytes)
      .Bind(model.created_at)
      .Run();
}

Result<void> SqliteStore::RequireModelSize(const TaskId& id, std::uint64_t bytes) {
  TACIT_TRY(const ModelRecord first, Model(id, 0));
  if (first.bytes == bytes) return {};
  return Fail(ErrorCode::kInvalidArgument, "a model of task '" + id.str() + "' has " + std::to_string(first.bytes) +
                                               " bytes, not " + std::to_string(bytes));
}

Result<std::optional<Digest256>> SqliteStore::OptimizerDigest(const TaskId& id) {
  TACIT_TRY(Query query, database_->Prepare("SELECT optimizer_digest FROM tasks WHERE id = ?"));
  query.Bind(id.str());
  TACIT_TRY(auto row, TakeFirst(std::move(query), [](Query& columns) -> Result<std::optional<Digest256>> {
              if (columns.SkipNull()) return std::optional<Digest256>();
              return std::optional(columns.TakeDigest<Digest256>());
            }));
  if (!row) return Fail(ErrorCode::kNotFound, "there is no task '" + id.str() + "'");
  return *row;
}

Result<void> SqliteStore::ReplaceOptimizerState(const TaskId& id, ByteSpan state) {
  TACIT_TRY(Query update,
            database_->Prepare("UPDATE tasks SET optimizer_digest = ?, optimizer_bytes = ? WHERE id = ?"));
  if (state.empty()) return update.BindNull().Bind(std::uint64_t{0}).Bind(id.str()).Run();
  const Digest256 digest = crypto::Sha256(state);
  TACIT_TRY_VOID(update.Bind(digest).Bind(state.size()).Bind(id.str()).Run());
  TACIT_TRY_VOID(files_.WriteBlob(BlobKind::kOptimizerState, digest, state));
  After("publish_optimizer_file");
  return {};
}

Result<ModelRecord> SqliteStore::Publish(const PublishStep& step) {
  const RoundRecord& round = step.round;
  if (round.phase != RoundPhase::kPublished || !round.ended_at) {
    return Fail(ErrorCode::kInvalidArgument, "a published round has that phase and the time it ended");
  }
  const ByteSpan bytes = AsBytes(step.model);
  ModelRecord model{.task = round.key.task,
                    .version = round.key.round,
                    .digest = crypto::Sha256(bytes),
                    .bytes = bytes.size(),
                    .created_at = *round.ended_at};
  TACIT_TRY_VOID(RequireModelSize(model.task, model.bytes));
  TACIT_TRY(const std::optional<Digest256> old_state, OptimizerDigest(model.task));
  TACIT_TRY(Transaction transaction, Transaction::Begin(*database_));
  TACIT_TRY_VOID(RequireRound(round.key));
  TACIT_TRY_VOID(WriteRound(round));
  TACIT_TRY_VOID(AddModel(model));
  if (step.commitment) {
    TACIT_TRY_VOID(AddAudit({.at = *round.ended_at,
                             .actor = "server",
                             .action = std::string(kCommitAction),
                             .target = CommitTarget(model.task, model.version),
                             .detail = *step.commitment}));
  }
  if (step.task_state) TACIT_TRY_VOID(WriteTaskState(*database_, model.task, *step.task_state));
  if (step.next_clip_norm) TACIT_TRY_VOID(WriteClipNorm(*database_, model.task, *step.next_clip_norm));
  TACIT_TRY_VOID(files_.WriteBlob(BlobKind::kModel, model.digest, bytes));
  After("publish_model_file");
  TACIT_TRY_VOID(ReplaceOptimizerState(model.task, step.optimizer_state));
  TACIT_TRY_VOID(CommitStep(transaction, "publish_rows"));
  if (old_state) {
    TACIT_TRY(const bool in_use, HasBlobRow(BlobKind::kOptimizerState, *old_state));
    if (!in_use) files_.RemoveBlob(BlobKind::kOptimizerState, *old_state);
  }
  return model;
}

Result<ModelRecord> SqliteStore::LatestModel(const TaskId& id) {
  TACIT_TRY(Query query, database_->Prepare("SELECT task, version, digest, bytes, created_at FROM models"
                                            " WHERE task = ? ORDER BY version DESC LIMIT 1"));
  query.Bind(id.str());
  return OneModel(std::move(query), "task '" + id.str() + "'");
}

Result<ModelRecord> SqliteStore::Model(const TaskId& id, ModelVersion version) {
  TACIT_TRY(Query query, database_->Prepare("SELECT task, version, digest, bytes, created_at FROM models"
                                            " WHERE task = ? AND version = ?"));
  query.Bind(id.str()).Bind(version);
  return OneModel(std::move(query), "model version " + std::to_string(version) + " of task '" + id.str() + "'");
}

Result<ModelRecord> SqliteStore::ModelByDigest(const Digest256& digest) {
  TACIT_TRY(Query query, database_->Prepare("SELECT task, version, digest, bytes, created_at FROM models"
                                            " WHERE digest = ? ORDER BY task, version LIMIT 1"));
  query.Bind(digest);
  return OneModel(std::move(query), "model with digest " + ToHex(digest));
}

Result<SharedBytes> SqliteStore::MapModel(const Digest256& digest) {
  TACIT_TRY(const ModelRecord model, ModelByDigest(digest));
  return files_.MapBlob(BlobKind::kModel, digest, model.bytes);
}

Result<Bytes> SqliteStore::OptimizerState(const TaskId& id) {
  TACIT_TRY(const std::optional<Digest256> digest, OptimizerDigest(id));
  if (!digest) return Bytes();
  TACIT_TRY(Query query, database_->Prepare("SELECT optimizer_bytes FROM tasks WHERE id = ?"));
  query.Bind(id.str());
  TACIT_TRY(const auto bytes,
            TakeFirst(std::move(query), [](Query& row) { return Result<std::uint64_t>(row.TakeU64()); }));
  TACIT_TRY(const SharedBytes state, files_.MapBlob(BlobKind::kOptimizerState, *digest, bytes.value_or(0)));
  return Bytes(state.bytes.begin(), state.bytes.end());
}

}  // namespace tacit::store
