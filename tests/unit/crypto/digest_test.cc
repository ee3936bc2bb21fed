#include "common/crypto/digest.h"

#include <string>

#include <gtest/gtest.h>

namespace tacit::crypto {
namespace {

// NIST: "Examples with Intermediate Values", SHA-256; FIPS 180-2, appendix B.
TEST(Sha256, AgreesWithThePublishedVectors) {
  EXPECT_EQ(ToHex(Sha256(AsBytes("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(ToHex(Sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(ToHex(Sha256(AsBytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Sha256Stream, GivesTheSameHoweverTheBytesAreCut) {
  Sha256Stream stream;
  const std::string thousand(1000, 'a');
  for (int i = 0; i < 1000; ++i) stream.Update(AsBytes(thousand));
  EXPECT_EQ(ToHex(stream.Finish()), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  Sha256Stream nothing;
  nothing.Update({});
  EXPECT_EQ(nothing.Finish(), Sha256({}));
}

TEST(ConstantTimeEqual, ComparesSizeAndEveryByte) {
  const Bytes bytes = {1, 2, 3};
  EXPECT_TRUE(ConstantTimeEqual(bytes, Bytes{1, 2, 3}));
  EXPECT_TRUE(ConstantTimeEqual({}, {}));
  EXPECT_FALSE(ConstantTimeEqual(bytes, Bytes{1, 2}));
  EXPECT_FALSE(ConstantTimeEqual(bytes, Bytes{0, 2, 3}));
  EXPECT_FALSE(ConstantTimeEqual(bytes, Bytes{1, 2, 2}));
}

}  // namespace
}  // namespace tacit::crypto
