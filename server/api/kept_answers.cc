#include "server/api/kept_answers.h"

#include <utility>

#include "common/base/check.h"

namespace tacit::api {

KeptAnswers::Turn::~Turn() {
  if (answers_ == nullptr) return;
  const std::scoped_lock lock(answers_->mutex_);
  answers_->entries_.erase(key_);
}

void KeptAnswers::Turn::Keep(const net::HttpResponse& answer) {
  KeptAnswers& all = *std::exchange(answers_, nullptr);
  const std::scoped_lock lock(all.mutex_);
  all.entries_.at(key_).answer = answer;
  all.bytes_ += answer.body.size();
  all.kept_.push_back({key_, all.clock_.SteadyNow() + all.options_.lifetime});
  while (all.kept_.size() > all.options_.max_answers || all.bytes_ > all.options_.max_bytes) all.ForgetOldest();
}

void KeptAnswers::ForgetOldest() {
  const auto oldest = entries_.find(kept_.front().key);
  bytes_ -= Present(oldest->second.answer, "what is kept has its answer").body.size();
  entries_.erase(oldest);
  kept_.pop_front();
}

Result<KeptAnswers::Found> KeptAnswers::Find(const std::string& key, const Digest256& body) {
  const std::scoped_lock lock(mutex_);
  while (!kept_.empty() && kept_.front().until <= clock_.SteadyNow()) ForgetOldest();
  const auto [entry, is_new] = entries_.try_emplace(key, Entry{body, std::nullopt});
  if (is_new) {
    Found found;
    found.turn.emplace(*this, key);
    return found;
  }
  if (entry->second.body != body) {
    return Fail(ErrorCode::kInvalidArgument,
                "this Idempotency-Key came with another body before; take a new key for another request");
  }
  if (!entry->second.answer) {
    return Fail(ErrorCode::kConflict, "a request with this Idempotency-Key is being answered; ask again in a moment");
  }
  return Found{.answer = entry->second.answer, .turn = std::nullopt};
}

}  // namespace tacit::api
