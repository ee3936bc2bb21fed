#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/result.h"
#include "common/net/https_client.h"
#include "edge_agent/detect/tally.h"
#include "edge_agent/protect/protections.h"
#include "edge_agent/reports/report_book.h"
#include "edge_agent/reports/report_client.h"
#include "edge_agent/upload/backoff.h"

namespace tacit::reports {

struct ReporterOptions {
  std::filesystem::path file;  ///< Of this process alone; its directory is there.
  TaskId task;
  DeviceId device;
  net::ClientOptions server;  ///< With the device's certificate and key.
  Millis interval{900'000};   ///< Between two reports; up to a tenth less is left to chance.
  upload::BackoffOptions backoff{.first = Millis(5'000), .longest = std::chrono::minutes(15)};
  std::uint64_t seed = 0;                                  ///< Of waits; must differ between devices.
  std::function<detect::Tally()> tally;                    ///< What was counted since this process began.
  std::function<std::vector<protect::Measure>()> missing;  ///< What the kernel has not given to the worker.
};

/// Tells the server what was counted on this device, so that each event is counted there once: whatever is lost, a
/// request, an answer, the connection or this process. Between two Saves of a process that is killed, what it counted
/// meanwhile is lost.
/// Privacy: what is sent are counts, the version, the calibration's digest and the names of protections.
/// Threads: one at a time; Cancel from any.
class Reporter {
 public:
  /// Goes on where the process before ended. A record that is damaged is told and begun anew. Does not connect.
  /// `clock` and `log` outlive it. Errors: those of the disk, and of ReportClient::Create.
  static Result<Reporter> Create(ReporterOptions options, const Clock& clock, Logger& log);

  /// Puts on the disk what was counted since. Cost: nothing where nothing was.
  void Save();
  /// Saves, and sends what the server has not counted. What fails is told, and tried again when it is due.
  void Send();
  /// When the next Send is due: at once for a new one.
  [[nodiscard]] SteadyTime due() const { return due_; }
  /// There is news that should not wait.
  void SendSoon();

  /// As delivery::ModelKeeper::Reconnect.
  Result<void> Reconnect(net::ClientOptions server);
  void Cancel() { client_.Cancel(); }

 private:
  Reporter(ReporterOptions options, ReportBook book, ReportClient client, const Clock& clock, Logger& log);
  [[nodiscard]] Health HealthNow(const detect::Tally& tally) const;
  void Count(const detect::Tally& tally);
  Result<void> Write() const;
  Result<void> SendOne(const detect::Tally& tally);
  Result<void> SendAll();
  [[nodiscard]] Millis UntilNext();

  ReporterOptions options_;
  ReportBook book_;
  ReportClient client_;
  const Clock* clock_;
  Logger* log_;
  upload::Backoff backoff_;
  SplitMix64 random_;
  EdgeCounts counted_;    // of this process, in the book
  bool failing_ = false;  // since the last report that was taken
  bool unsaved_ = false;  // the book is not on the disk
  SteadyTime due_;
};

}  // namespace tacit::reports
