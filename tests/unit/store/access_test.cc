#include <string>
#include <vector>

#include "tests/unit/store/fixtures.h"

namespace tacit::store {
namespace {

using tacit::testing::IsError;
using tacit::testing::IsErrorSaying;
using tacit::testing::IsOk;
using testing::At;
using testing::NewAccessToken;
using testing::StoreTest;
using testing::Task;

using AccessTokens = StoreTest;

TEST_F(AccessTokens, ComeBackAsTheyWereMadeInTheirOrderAfterARestart) {
  const AccessTokenRecord first = NewAccessToken("00ff", {Task("a"), Task("b")});
  const AccessTokenRecord second = NewAccessToken("00fe");
  ASSERT_THAT(store().CreateAccessToken(first), IsOk());
  ASSERT_THAT(store().CreateAccessToken(second), IsOk());
  Open();
  const auto read = store().AccessTokens();
  ASSERT_THAT(read, IsOk());
  ASSERT_EQ(read->size(), 2U);
  EXPECT_EQ(read->at(0).id, "00ff");
  EXPECT_EQ(read->at(0).hash, first.hash);
  EXPECT_EQ(read->at(0).name, first.name);
  EXPECT_EQ(read->at(0).role, Role::kScientist);
  EXPECT_EQ(read->at(0).tasks, first.tasks);
  EXPECT_EQ(read->at(0).created_by, "admin/admin");
  EXPECT_EQ(read->at(0).created_at, At(1));
  EXPECT_EQ(read->at(0).expires_at, At(100));
  EXPECT_EQ(read->at(0).revoked_at, std::nullopt);
  EXPECT_EQ(read->at(1).id, "00fe");
  EXPECT_TRUE(read->at(1).tasks.empty());
}

TEST_F(AccessTokens, AreMadeOnce) {
  ASSERT_THAT(store().CreateAccessToken(NewAccessToken("00ff", {Task("a")})), IsOk());
  EXPECT_THAT(store().CreateAccessToken(NewAccessToken("00ff", {Task("b")})), IsError(ErrorCode::kConflict));
  EXPECT_THAT(store().CreateAccessToken(NewAccessToken("11ff")), IsError(ErrorCode::kConflict)) << "the same hash";
  EXPECT_EQ(store().AccessTokens()->size(), 1U);
  EXPECT_EQ(store().AccessTokens()->front().tasks, std::vector<TaskId>{Task("a")});
}

TEST_F(AccessTokens, AreRevokedForEverAndKeepWhenTheyWere) {
  ASSERT_THAT(store().CreateAccessToken(NewAccessToken("00ff")), IsOk());
  EXPECT_EQ(store().RevokeAccessToken("00ff", At(50))->revoked_at, At(50));
  EXPECT_EQ(store().RevokeAccessToken("00ff", At(60))->revoked_at, At(50));
  EXPECT_EQ(store().AccessTokens()->front().revoked_at, At(50));
  EXPECT_THAT(store().RevokeAccessToken("00fe", At(50)), IsErrorSaying(ErrorCode::kNotFound, "'00fe'"));
}

}  // namespace
}  // namespace tacit::store
