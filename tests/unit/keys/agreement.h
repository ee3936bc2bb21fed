#pragma once

#include <algorithm>

#include <gtest/gtest.h>

#include "common/crypto/soft_agreement_key.h"
#include "tests/support/matchers.h"

namespace tacit::testing {

/// Two who agree find the same secret only where each has the key that the other knows of.
inline void ExpectAgrees(crypto::AgreementKey& key) {
  auto peer = crypto::SoftAgreementKey::Generate();
  ASSERT_THAT(peer, IsOk());
  const auto ours = key.Agree(peer->public_key());
  const auto theirs = peer->Agree(key.public_key());
  ASSERT_THAT(ours, IsOk());
  ASSERT_THAT(theirs, IsOk());
  EXPECT_TRUE(std::ranges::equal(ours->bytes(), theirs->bytes()));
}

}  // namespace tacit::testing
