#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/net/http.h"

namespace tacit::api {

/// Answers to requests that carried an Idempotency-Key, so that one that is sent again, because its answer got lost, is
/// done once. Only answers that say success are kept: whatever else was answered has changed nothing. In memory, since
/// some hold the only copy of a secret: a server that starts again knows none. Threads: any.
class KeptAnswers {
 public:
  struct Options {
    std::size_t max_bytes = 4UL * 1024 * 1024;  ///< Of all answers; the oldest go first.
    std::size_t max_answers = 1000;
    Millis lifetime{3'600'000};
  };

  KeptAnswers(Options options, const Clock& clock) : options_(options), clock_(clock) {}

  /// Of one request that is being answered: unless its answer is kept, its key is free again when this ends.
  class Turn {
   public:
    Turn(KeptAnswers& answers, std::string key) : answers_(&answers), key_(std::move(key)) {}
    Turn(Turn&& other) noexcept : answers_(std::exchange(other.answers_, nullptr)), key_(std::move(other.key_)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn();
    void Keep(const net::HttpResponse& answer);

   private:
    KeptAnswers* answers_;
    std::string key_;
  };

  struct Found {
    std::optional<net::HttpResponse> answer;  ///< What was answered before, or else:
    std::optional<Turn> turn;                 ///< this is the first such request.
  };
  /// `key` says who asks for what, and with which Idempotency-Key; `body` is the digest of the request's body.
  /// Errors: kConflict while the first such request is being answered; kInvalidArgument for another body.
  Result<Found> Find(const std::string& key, const Digest256& body);

 private:
  struct Entry {
    Digest256 body{};
    std::optional<net::HttpResponse> answer;  ///< Nothing while it is being made.
  };
  struct Kept {
    std::string key;
    SteadyTime until{};
  };

  void ForgetOldest();

  const Options options_;
  const Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Entry> entries_;
  std::deque<Kept> kept_;  // oldest first
  std::size_t bytes_ = 0;
};

}  // namespace tacit::api
