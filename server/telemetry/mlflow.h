#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/result.h"

// What a model registry is told, and what it says. Source: MLflow REST API, version 2.0, "Model registry".
namespace tacit::telemetry {

/// Privacy: what the REST interface tells of a round and its task to everybody who may read them.
struct PublishedRound {
  RoundKey key;
  Digest256 model_digest{};  ///< SHA-256 of its parameters.
  WallTime published_at;
  std::string mechanism;  ///< "gaussian", "laplace", "none", or "local-gaussian", "local-laplace".
  /// Spent by the task once this round was published; with noise of the devices what one of them may spend at most.
  /// Nothing without noise, as delta.
  std::optional<double> epsilon;
  std::optional<double> delta;
  std::optional<std::uint64_t> cohort;      ///< Devices in the sum; nothing behind a coin.
  std::optional<Digest256> receipt_digest;  ///< Hash of the ledger's entry that charged it; nothing without a ledger.
};

/// Of a model version, by key.
using Tags = std::map<std::string, std::string>;
Tags TagsOf(const PublishedRound& round);

/// Bodies of `registered-models/create` and `model-versions/create`.
std::string RenderModel(std::string_view name, const TaskId& task);
std::string RenderVersion(std::string_view name, std::string_view source, const PublishedRound& round);
/// The query of `model-versions/search` for a page of the versions of a model, newest first; `page` is empty for the
/// first. Shape: the name has no quotes.
std::string SearchQuery(std::string_view name, std::string_view page);

/// A version that Tacit made.
struct KnownVersion {
  RoundNumber round = 0;
  std::string model_digest;  ///< In hexadecimal digits.
};
struct VersionPage {
  std::optional<KnownVersion> newest;  ///< Of the highest round on it.
  std::string next;                    ///< Empty: the last page.
};
/// An answer to `model-versions/search`. Versions of other making are passed over. Errors: kMalformed.
Result<VersionPage> ParseVersions(std::string_view body);

/// The stable word for what went wrong, such as RESOURCE_ALREADY_EXISTS; empty when it says none.
std::string ErrorCodeOf(std::string_view body);

}  // namespace tacit::telemetry
