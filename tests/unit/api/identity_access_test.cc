#include "server/api/identity_access.h"

#include <gmock/gmock.h>

#include "tests/support/matchers.h"

namespace tacit::api {
namespace {

using store::Role;
using testing::IsErrorSaying;

const RoleTable kRoleTable = {{"viewers", Role::kViewer}, {"science", Role::kScientist}, {"operators", Role::kOperator},
                              {"audit", Role::kAuditor},  {"admins", Role::kAdmin},      {"also admins", Role::kAdmin}};

TEST(RoleOf, IsTheOneThatMayDoAllThatTheOthersMay) {
  const struct {
    std::vector<std::string> values;
    Role role;
  } cases[] = {
      {{"viewers"}, Role::kViewer},
      {{"unknown", "science", "Viewers"}, Role::kScientist},
      {{"science", "operators", "viewers"}, Role::kOperator},
      {{"viewers", "admins", "operators"}, Role::kAdmin},
      {{"admins", "also admins"}, Role::kAdmin},
      {{"audit", "viewers"}, Role::kAuditor},
      {{"audit", "audit"}, Role::kAuditor},
  };
  for (const auto& test : cases) {
    const auto role = RoleOf(test.values, kRoleTable);
    ASSERT_TRUE(role.has_value()) << role.error().message;
    EXPECT_EQ(*role, test.role) << test.values.front();
  }
}

TEST(RoleOf, IsNoneOfValuesThatStandForNothing) {
  for (const std::vector<std::string>& values : {std::vector<std::string>{}, {""}, {"admin"}, {"ADMINS", " admins"}}) {
    EXPECT_THAT(RoleOf(values, kRoleTable),
                IsErrorSaying(ErrorCode::kPermissionDenied, "nothing that stands for a role"));
  }
}

// Who sees what single devices spent does nothing else here.
TEST(RoleOf, IsNoneOfAnAuditorWhoIsSomethingElseAsWell) {
  for (const char* other : {"science", "operators", "admins"}) {
    EXPECT_THAT(RoleOf({"audit", other}, kRoleTable), IsErrorSaying(ErrorCode::kPermissionDenied, "nobody is at once"));
    EXPECT_THAT(RoleOf({other, "viewers", "audit"}, kRoleTable),
                IsErrorSaying(ErrorCode::kPermissionDenied, "nobody is at once"));
  }
}

}  // namespace
}  // namespace tacit::api
