#include "edge_agent/keys/key_place.h"

#include <string>

#include <gtest/gtest.h>

#include "tests/support/matchers.h"

namespace tacit::keys {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;

TEST(ParseKeyPlace, ReadsAFileWithAndWithoutASecret) {
  EXPECT_EQ(*ParseKeyPlace("file"), KeyPlace(FilePlace{}));
  EXPECT_EQ(*ParseKeyPlace("file?secret=/run/a%20b"), KeyPlace(FilePlace{.secret = "/run/a b"}));
}

TEST(ParseKeyPlace, ReadsATpmByDefaultThroughTheResourceManager) {
  EXPECT_EQ(*ParseKeyPlace("tpm2"), KeyPlace(TpmPlace{.tcti = "device:/dev/tpmrm0"}));
  EXPECT_EQ(*ParseKeyPlace("tpm2:swtpm:host=localhost,port=2321"),
            KeyPlace(TpmPlace{.tcti = "swtpm:host=localhost,port=2321"}));
  EXPECT_EQ(*ParseKeyPlace("tpm2:device"), KeyPlace(TpmPlace{.tcti = "device"}));
}

TEST(ParseKeyPlace, RefusesATctiThatWouldRunOrLoadSomethingElse) {
  for (const char* text : {"tpm2:cmd:rm -rf /", "tpm2:/tmp/evil.so:x", "tpm2:libtss2-tcti-cmd.so:sh", "tpm2:devices:x"})
    EXPECT_THAT(ParseKeyPlace(text), IsError(ErrorCode::kInvalidArgument)) << text;
}

TEST(ParseKeyPlace, ReadsATokenWithEveryParameter) {
  const std::string hex(64, 'a');
  Digest256 digest{};
  digest.fill(0xaa);
  EXPECT_EQ(
      *ParseKeyPlace("pkcs11:/usr/lib/m.so?token=a%26b&pin-file=/etc/pin&sha256=" + hex),
      KeyPlace(TokenPlace{.module = "/usr/lib/m.so", .token = "a&b", .pin_file = "/etc/pin", .module_sha256 = digest}));
  EXPECT_EQ(*ParseKeyPlace("pkcs11:/m.so?pin-file=/p&token=t"),
            KeyPlace(TokenPlace{.module = "/m.so", .token = "t", .pin_file = "/p", .module_sha256 = std::nullopt}));
}

TEST(ParseKeyPlace, SaysWhatIsWrong) {
  const struct {
    std::string text;
    const char* part;
  } kCases[] = {
      {"", "does not begin with"},
      {"files", "does not begin with"},
      {"tpm2?x=1", "does not begin with"},
      {"file:/tmp/key", "takes no path"},
      {"file?secret=", "has no value"},
      {"file?secret", "has no value"},
      {"file?pin-file=/x", "is no parameter"},
      {"file?secret=/a&secret=/b", "is there twice"},
      {"file?secret=%2", "two hexadecimal digits"},
      {"file?secret=%00", "two hexadecimal digits"},
      {"pkcs11:m.so?token=t&pin-file=/p", "absolute path"},
      {"pkcs11:/m.so?token=t", "needs 'token'"},
      {"pkcs11:/m.so?pin-file=/p", "needs 'token'"},
      {"pkcs11:/m.so?token=t&pin-file=/p&sha256=ab", "64 hexadecimal digits"},
      {"pkcs11:/m.so?token=t&pin-value=1234", "is no parameter"},
      {std::string("file\0", 5), "zero byte"},
      {"file?secret=/" + std::string(5000, 'a'), "over 4096 bytes"},
  };
  for (const auto& each : kCases)
    EXPECT_THAT(ParseKeyPlace(each.text), IsErrorSaying(ErrorCode::kInvalidArgument, each.part)) << each.text;
}

}  // namespace
}  // namespace tacit::keys
