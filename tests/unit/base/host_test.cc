#include "common/base/host.h"

#include <string>

#include <gtest/gtest.h>

namespace tacit {
namespace {

TEST(KindOfHost, TellsNamesFromAddresses) {
  for (const char* name : {"localhost", "a", "Fleet.Example", "a-b.c1", "3com.example", "xn--bcher-kva.example"})
    EXPECT_EQ(KindOfHost(name), HostKind::kName) << name;
  for (const char* address : {"127.0.0.1", "0.0.0.0", "255.255.255.255"})
    EXPECT_EQ(KindOfHost(address), HostKind::kIpv4) << address;
  for (const char* address : {"::", "::1", "fd00::2", "::ffff:10.0.0.1"})
    EXPECT_EQ(KindOfHost(address), HostKind::kIpv6) << address;
}

TEST(KindOfHost, TakesNothingElse) {
  for (const std::string bad : {"",      ":",         "...", "-",        "a..b",           ".a",          "a.",
                                "a-",    "-a",        "a b", "a_b",      "127.0.0.1:8443", "[::1]",       "a:1",
                                "1.2.3", "256.0.0.1", "1",   "http://a", "*.example",      "fe80::1%eth0"})
    EXPECT_EQ(KindOfHost(bad), HostKind::kNeither) << bad;
  EXPECT_EQ(KindOfHost(std::string("::1\0x", 5)), HostKind::kNeither);
  EXPECT_EQ(KindOfHost(std::string(63, 'a')), HostKind::kName);
  EXPECT_EQ(KindOfHost(std::string(64, 'a')), HostKind::kNeither);
  std::string longest = "a";
  while (longest.size() < 253) longest += ".a";
  EXPECT_EQ(KindOfHost(longest), HostKind::kName);
  EXPECT_EQ(KindOfHost(longest + "a.a"), HostKind::kNeither);
}

TEST(IsAddress, IsTrueOfBothKindsAndOfNoName) {
  for (const char* address : {"127.0.0.1", "::1", "::"}) EXPECT_TRUE(IsAddress(address)) << address;
  for (const char* other : {"localhost", "", "1.2.3", "[::1]", "127.0.0.1:8443"})
    EXPECT_FALSE(IsAddress(other)) << other;
}

TEST(IsWildcardAddress, IsTrueOfThoseThatAreListenedAtOnly) {
  for (const char* address : {"0.0.0.0", "::", "0:0:0:0:0:0:0:0"}) EXPECT_TRUE(IsWildcardAddress(address)) << address;
  for (const char* other : {"127.0.0.1", "::1", "localhost", "", "1.0.0.0", "0"})
    EXPECT_FALSE(IsWildcardAddress(other)) << other;
}

}  // namespace
}  // namespace tacit
