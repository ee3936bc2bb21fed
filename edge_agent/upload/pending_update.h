#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "proto/codec/agent.h"

namespace tacit::upload {

/// An update that is ready to be sent and not yet acknowledged.
struct PendingUpdate {
  RoundKey round;
  codec::UpdateHeader header;
  Bytes payload;  ///< header.payload_bytes long, with the digest that the header says.
  /// Of a sparse update: what it leaves unsent, the residual (residual.h) once it is acknowledged. Else empty.
  std::vector<float> unsent = {};
};

struct UpdateOptions {
  /// kGridInt32 sends integers that the device itself clipped, kGridInt16 and kGridInt8 rounded to fewer bits by coins;
  /// kFloat32 sends the delta as it is, for the server to clip. With local noise it is 32-bit integers always.
  codec::Encoding encoding = codec::Encoding::kGridInt32;
  /// Rows trained on; sent only when the lease asks for counts (max_examples above 0), capped by it.
  std::uint64_t example_count = 0;
  /// What sparse updates before left unsent; it is added to the next one. Empty: nothing.
  std::span<const float> residual = {};
};

/// Whether an update under this lease is sparse: where the server takes it, of integers.
bool IsSparse(const codec::Lease& lease, codec::Encoding encoding);

/// Turns a trained delta into what is sent: clipped to the lease's norm and put on its integer grid, and noised where
/// the lease asks for noise of the device. Where the lease takes sparse updates: of delta and residual together the
/// top_k entries that are largest, the rest being left for later updates.
/// Privacy: with local noise the update carries nothing of the data but through it; the caller charges for it before it
/// is sent.
/// Shape: `delta` has as many elements as the lease's model has parameters, and the residual too unless it is empty.
/// Errors: kInvalidArgument for a delta with NaN or infinity (naming the index) or of another length, or a lease whose
/// clip norm or grid is not allowed; as dp::RoundToWidth for a width that is too narrow.
Result<PendingUpdate> MakeUpdate(const codec::Lease& lease, std::span<const float> delta, const UpdateOptions& options);

/// The one update that waits for its acknowledgement, on disk: an agent that is killed after training sends the same
/// bytes again, and the server counts them once. Threads: one at a time, one process a directory.
class PendingStore {
 public:
  explicit PendingStore(const std::filesystem::path& state_directory);

  /// Durable on return. Replaces an earlier one. Privacy: the file is for its owner only.
  Result<void> Save(const PendingUpdate& update) const;
  /// nullopt when nothing waits; what is damaged is removed, since it was never acknowledged nor can be sent.
  [[nodiscard]] std::optional<PendingUpdate> Load() const;
  void Drop() const;

 private:
  std::filesystem::path file_;
};

/// Reads what PendingStore wrote. Errors: kMalformed.
Result<PendingUpdate> ParsePendingUpdate(ByteSpan file);

}  // namespace tacit::upload
