#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace tacit::metrics {

/// Every number Tacit shows to Prometheus. A metric is a release: none carries a device, an address or a norm, and none
/// is computed from an un-noised sum; each `Add`/`Set` below says why it is safe to show.
/// Threads: any.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // Transport: what any observer of the network sees.
  void ConnectionOpened(std::string_view listener);
  void ConnectionClosed(std::string_view listener);
  void ConnectionRefused(std::string_view listener, std::string_view reason);
  void Handshake(std::string_view listener, std::string_view kind);
  void HandshakeFailed(std::string_view listener, std::string_view reason);
  void Request(std::string_view listener, std::string_view route, int status, double seconds);
  void BytesIn(std::string_view listener, std::uint64_t bytes);
  void UploadResumed(std::uint64_t bytes_saved);

  // Rounds: the cohort's size is public (docs/PRIVACY.md, neighbouring relation), and outcomes do not depend on data.
  // Not so behind a coin: there no outcome and no count is told.
  void UpdateOutcome(std::string_view task, std::string_view outcome);
  void RoundEnded(std::string_view task, std::string_view outcome, double seconds);
  void SetRound(std::string_view task, std::uint64_t round, std::string_view phase,
                std::optional<std::uint64_t> counted);
  void SetModelVersion(std::string_view task, std::uint64_t version);

  // Privacy: a function of the task's public parameters and of the number of rounds.
  void SetEpsilon(std::string_view task, double spent, double reserved, double budget);

  // Store: timings of our own disk.
  void StoreOperation(std::string_view operation, bool ok, double seconds);

  void Enrolment(std::string_view outcome);
  void AccessRefused(std::string_view reason);
  void SetDevices(std::uint64_t active, std::uint64_t revoked);
  void SetMemory(std::uint64_t ceiling_bytes, std::uint64_t worst_case_bytes);
  void SetUploadMemory(std::uint64_t used_bytes, std::uint64_t limit_bytes);

  /// Prometheus text format 0.0.4, process figures included.
  [[nodiscard]] std::string Render() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace tacit::metrics
