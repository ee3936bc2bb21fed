#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "common/base/files.h"
#include "common/bundle/open_bundle.h"
#include "common/bundle/payload.h"
#include "common/bundle/sealed_bundle.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/bundle/fixtures.h"

namespace tacit::bundle {
namespace {

using ::tacit::testing::IsError;
using ::tacit::testing::IsErrorSaying;
using ::tacit::testing::IsOk;
using ::tacit::testing::TempDirectory;
using testing::BytesOf;
using testing::DigestOf;
using testing::FakeGuard;
using testing::Server;
using testing::SomePlaintext;

/// A device that tries to open what it is given, and what it gets.
class Bundle : public ::testing::Test {
 protected:
  [[nodiscard]] std::string LeaseFor(const Manifest& manifest) const {
    return *IssueLease(
        {.terms = server_.Terms(manifest), .recipient = key_.public_key(), .content_key = server_.content_key},
        server_.keys);
  }

  [[nodiscard]] Opening OpeningHere() {
    return {.device = device_,
            .model = model_,
            .bundle_signers = signers_,
            .lease_signers = signers_,
            .guard = guard_,
            .clock = server_.clock,
            .key = key_,
            .key_epoch = 1,
            .minimum_version = 0,
            .purpose = Purpose::kInstall};
  }

  /// The plaintext. Where that fails, whoever looks at the memory must find nothing there.
  Result<Bytes> TryOpen(ByteSpan file, std::string_view lease, const Opening& opening) {
    MemorySource source(file);
    TACIT_TRY(OpenedBundle opened, OpenBundle(source, lease, opening));
    Bytes memory(opened.manifest().fields().plaintext_size, 0xee);
    const auto read = std::move(opened).ReadInto(memory);
    MemorySource again(file);
    const auto verified = OpenBundle(again, lease, opening).value().Verify();
    EXPECT_EQ(verified.has_value(), read.has_value()) << "to verify is to read, but for the plaintext";
    if (!read && !verified) EXPECT_EQ(verified.error().message, read.error().message);
    if (read) return memory;
    EXPECT_EQ(memory, Bytes(memory.size(), 0));
    return std::unexpected(read.error());
  }
  Result<Bytes> TryOpen(ByteSpan file, std::string_view lease) { return TryOpen(file, lease, OpeningHere()); }

  Server server_;
  SignerSet signers_ = server_.Trusted();
  DeviceId device_ = *DeviceId::Parse("pump-3");
  ModelName model_ = *ModelName::Parse("har");
  FakeGuard guard_;
  crypto::SoftAgreementKey key_ = *crypto::SoftAgreementKey::Generate();
};

TEST_F(Bundle, OpensWhatWasSealed) {
  for (const std::size_t size : {std::size_t{1}, kChunk - 1, kChunk, kChunk + 1, 3 * kChunk, 3 * kChunk + 100}) {
    const Bytes plaintext = SomePlaintext(size);
    const SealedBundle bundle = server_.Seal(plaintext);
    const auto opened = TryOpen(BytesOf(bundle), LeaseFor(bundle.manifest()));
    ASSERT_THAT(opened, IsOk()) << size;
    EXPECT_EQ(*opened, plaintext);
  }
}

TEST_F(Bundle, OpensFromAFile) {
  const TempDirectory directory;
  const Bytes plaintext = SomePlaintext(kChunk + 100);
  const SealedBundle bundle = server_.Seal(plaintext);
  ASSERT_THAT(WriteFileAtomic(directory / "model.tacit", BytesOf(bundle), kOwnerOnly), IsOk());
  auto source = FileSource::Open(directory / "model.tacit");
  ASSERT_THAT(source, IsOk());
  auto opened = OpenBundle(*source, LeaseFor(bundle.manifest()), OpeningHere());
  ASSERT_THAT(opened, IsOk());
  EXPECT_EQ(opened->lease().expires, server_.Terms(bundle.manifest()).expires);
  Bytes memory(plaintext.size());
  EXPECT_THAT(std::move(*opened).ReadInto(memory), IsOk());
  EXPECT_EQ(memory, plaintext);
  EXPECT_THAT(FileSource::Open(directory / "none"), IsError(ErrorCode::kNotFound));
}

TEST_F(Bundle, IsTheSameInWhateverPartsItIsRead) {
  const SealedBundle bundle = server_.Seal(SomePlaintext(2 * kChunk + 100));
  const Bytes whole = BytesOf(bundle);
  EXPECT_EQ(whole, BytesOf(server_.Seal(SomePlaintext(2 * kChunk + 100)))) << "made again";
  const std::size_t head = whole.size() - SealedSizeOf(2 * kChunk + 100);
  for (const std::size_t from : {std::size_t{0}, std::size_t{5}, head - 1, head, head + 1, head + kSealedChunk - 1,
                                 head + kSealedChunk, head + 2 * kSealedChunk + 7, whole.size() - 1, whole.size()}) {
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{100}, kSealedChunk, whole.size()}) {
      Bytes part(std::min(size, whole.size() - from));
      bundle.Read(from, part);
      EXPECT_TRUE(std::ranges::equal(part, ByteSpan(whole).subspan(from, part.size()))) << from << ' ' << size;
    }
  }
}

// Shannon's entropy of single bytes.
double EntropyOf(ByteSpan bytes) {
  std::array<double, 256> counts{};
  for (const std::uint8_t byte : bytes) counts[byte] += 1;
  double entropy = 0;
  for (const double count : counts) {
    const double share = count / static_cast<double>(bytes.size());
    if (share > 0) entropy -= share * std::log2(share);
  }
  return entropy;
}

TEST_F(Bundle, LooksLikeNoiseAndShowsNothingOfTheModel) {
  Bytes plaintext(300'000, 0);
  std::ranges::copy(AsBytes("conv1.weight"), plaintext.begin());
  const Bytes file = BytesOf(server_.Seal(plaintext));
  EXPECT_GE(EntropyOf(file), 7.99);
  EXPECT_EQ(AsText(file).find("conv1"), std::string_view::npos);
}

TEST_F(Bundle, RefusesAChangeOfAnyByteOfASmallOne) {
  const SealedBundle bundle = server_.Seal(SomePlaintext(100));
  const std::string lease = LeaseFor(bundle.manifest());
  Bytes file = BytesOf(bundle);
  const std::size_t head = file.size() - SealedSizeOf(100);
  for (std::size_t at = 0; at < file.size(); ++at) {
    file[at] ^= 1U;
    const auto opened = TryOpen(file, lease);
    ASSERT_FALSE(opened.has_value()) << at;
    const ErrorCode code = opened.error().code;
    if (at < head)
      EXPECT_TRUE(code == ErrorCode::kMalformed || code == ErrorCode::kUnauthenticated) << at;
    else
      EXPECT_EQ(code, ErrorCode::kDataLoss) << at;
    file[at] ^= 1U;
  }
  EXPECT_THAT(TryOpen(file, lease), IsOk());
}

TEST_F(Bundle, RefusesAChangeAnywhereInABigOne) {
  const SealedBundle bundle = server_.Seal(SomePlaintext(5 * kChunk + 10));
  const std::string lease = LeaseFor(bundle.manifest());
  Bytes file = BytesOf(bundle);
  for (std::size_t at = 7; at < file.size(); at += 9973) {
    file[at] ^= 0x80U;
    EXPECT_FALSE(TryOpen(file, lease).has_value()) << at;
    file[at] ^= 0x80U;
  }
}

TEST_F(Bundle, RefusesAChangeOfASignatureThatNobodyHereNeeds) {
  server_.keys.push_back(*crypto::SigningKey::Generate());
  const Bytes plaintext = SomePlaintext(10);
  const SealedBundle bundle = server_.Seal(plaintext);
  Bytes file = BytesOf(bundle);
  const std::string lease = LeaseFor(bundle.manifest());
  EXPECT_THAT(TryOpen(file, lease), IsOk());
  // The first half of the other key's signature, which is not looked at: another digit there is base64 as well.
  const std::size_t id = AsText(file).find(server_.keys[1].key_id());
  std::uint8_t& digit = file[AsText(file).find("\"sig\":\"", id) + 10];
  digit = digit == 'A' ? 'B' : 'A';
  EXPECT_THAT(TryOpen(file, lease), IsErrorSaying(ErrorCode::kDataLoss, "chunk 1 of 1 does not open"));
}

TEST_F(Bundle, RefusesChunksInOtherPlaces) {
  const SealedBundle bundle = server_.Seal(SomePlaintext(4 * kChunk));
  const std::string lease = LeaseFor(bundle.manifest());
  const Bytes file = BytesOf(bundle);
  const auto first = file.end() - static_cast<std::ptrdiff_t>(SealedSizeOf(4 * kChunk));
  const auto chunk = [&](std::ptrdiff_t index) { return first + index * static_cast<std::ptrdiff_t>(kSealedChunk); };
  const auto with = [&](std::initializer_list<std::ptrdiff_t> order) {
    Bytes changed(file.begin(), first);
    for (const std::ptrdiff_t index : order) changed.insert(changed.end(), chunk(index), chunk(index + 1));
    return changed;
  };
  EXPECT_THAT(TryOpen(with({0, 1, 2, 3}), lease), IsOk());
  EXPECT_THAT(TryOpen(with({0, 2, 1, 3}), lease), IsErrorSaying(ErrorCode::kDataLoss, "chunk 2 of 4"));
  EXPECT_THAT(TryOpen(with({0, 1, 1, 2, 3}), lease), IsErrorSaying(ErrorCode::kDataLoss, "chunk 3 of 4"));
  EXPECT_THAT(TryOpen(with({0, 1, 3}), lease), IsErrorSaying(ErrorCode::kDataLoss, "chunk 3 of 4"));
  EXPECT_THAT(TryOpen(with({1, 2, 3}), lease), IsErrorSaying(ErrorCode::kDataLoss, "chunk 1 of 4"));
  EXPECT_THAT(TryOpen(with({0, 1, 2}), lease), IsErrorSaying(ErrorCode::kDataLoss, "the bundle was cut"));
  EXPECT_THAT(TryOpen(with({0, 1, 2, 3, 3}), lease), IsErrorSaying(ErrorCode::kDataLoss, "behind its last chunk"));
}

TEST_F(Bundle, RefusesEveryCutAndWhatIsAppended) {
  const SealedBundle bundle = server_.Seal(SomePlaintext(50));
  const std::string lease = LeaseFor(bundle.manifest());
  Bytes file = BytesOf(bundle);
  const std::size_t head = file.size() - SealedSizeOf(50);
  for (std::size_t size = 0; size < file.size(); ++size) {
    const ErrorCode code = size < head ? ErrorCode::kMalformed : ErrorCode::kDataLoss;
    EXPECT_THAT(TryOpen(ByteSpan(file).first(size), lease), IsErrorSaying(code, "the bundle was cut")) << size;
  }
  file.push_back(0);
  EXPECT_THAT(TryOpen(file, lease), IsErrorSaying(ErrorCode::kDataLoss, "behind its last chunk"));
}

TEST_F(Bundle, RefusesAChunkOfAnotherBundleOfTheSameKey) {
  const Bytes plaintext = SomePlaintext(2 * kChunk);
  const SealedBundle bundle = server_.Seal(plaintext);
  const SealedBundle other = server_.Seal(plaintext, [](ManifestFields& fields) { fields.version = 8; });
  Bytes file = BytesOf(bundle);
  const Bytes from = BytesOf(other);
  ASSERT_EQ(file.size(), from.size());
  std::copy(from.end() - kSealedChunk, from.end(), file.end() - kSealedChunk);
  EXPECT_THAT(TryOpen(file, LeaseFor(bundle.manifest())), IsErrorSaying(ErrorCode::kDataLoss, "chunk 2 of 2"));
}

TEST_F(Bundle, NeverSealsTwoPlaintextsWithOneKeystream) {
  const Bytes one = SomePlaintext(500);
  const Bytes two(500, 3);
  const auto ciphertext = [&](const Bytes& plaintext) {
    const Bytes file = BytesOf(server_.Seal(plaintext));
    return Bytes(file.end() - static_cast<std::ptrdiff_t>(SealedSizeOf(500)), file.end());
  };
  const Bytes sealed_one = ciphertext(one);
  const Bytes sealed_two = ciphertext(two);
  std::size_t same = 0;
  for (std::size_t i = 0; i < one.size(); ++i) same += (sealed_one[i] ^ sealed_two[i]) == (one[i] ^ two[i]) ? 1 : 0;
  // Each byte agrees by chance once in 256 times: over 20 of 500 would be a chance below 1e-12.
  EXPECT_LE(same, 20U);
}

TEST_F(Bundle, RefusesOtherSignersAndOtherDevices) {
  const Bytes plaintext = SomePlaintext(10);
  const SealedBundle bundle = server_.Seal(plaintext);
  const std::string lease = LeaseFor(bundle.manifest());
  signers_ = Server().Trusted();
  EXPECT_THAT(TryOpen(BytesOf(bundle), lease),
              IsErrorSaying(ErrorCode::kUnauthenticated, "signed by 0 trusted keys, of 1"));
  signers_ = server_.Trusted();
  const SealedBundle for_another =
      server_.Seal(plaintext, [](ManifestFields& fields) { fields.device = *DeviceId::Parse("pump-4"); });
  EXPECT_THAT(TryOpen(BytesOf(for_another), LeaseFor(for_another.manifest())),
              IsErrorSaying(ErrorCode::kPermissionDenied, "was made for device 'pump-4', and this is 'pump-3'"));
  const SealedBundle for_this =
      server_.Seal(plaintext, [](ManifestFields& fields) { fields.device = *DeviceId::Parse("pump-3"); });
  EXPECT_THAT(TryOpen(BytesOf(for_this), LeaseFor(for_this.manifest())), IsOk());
  const SealedBundle of_another =
      server_.Seal(plaintext, [](ManifestFields& fields) { fields.model = *ModelName::Parse("ecg"); });
  EXPECT_THAT(TryOpen(BytesOf(of_another), LeaseFor(of_another.manifest())),
              IsErrorSaying(ErrorCode::kInvalidArgument, "of model 'ecg', and not of 'har'"));
}

TEST_F(Bundle, RefusesVersionsThatGoBack) {
  const SealedBundle bundle = server_.Seal(SomePlaintext(10));
  const std::string lease = LeaseFor(bundle.manifest());
  const Bytes file = BytesOf(bundle);
  Opening load = OpeningHere();
  load.purpose = Purpose::kLoad;
  guard_ = FakeGuard(6);
  EXPECT_THAT(TryOpen(file, lease), IsOk());
  EXPECT_THAT(TryOpen(file, lease, load), IsOk());
  guard_ = FakeGuard(7);
  EXPECT_THAT(TryOpen(file, lease), IsErrorSaying(ErrorCode::kConflict, "version 7 cannot follow version 7"));
  EXPECT_THAT(TryOpen(file, lease, load), IsOk());
  guard_ = FakeGuard(8);
  EXPECT_THAT(TryOpen(file, lease), IsErrorSaying(ErrorCode::kConflict, "version 7 cannot follow version 8"));
  EXPECT_THAT(TryOpen(file, lease, load), IsError(ErrorCode::kConflict));
}

TEST_F(Bundle, RefusesAVersionThatWasWithdrawn) {
  const SealedBundle bundle = server_.Seal(SomePlaintext(10));
  const std::string lease = LeaseFor(bundle.manifest());
  Opening opening = OpeningHere();
  opening.minimum_version = 7;
  EXPECT_THAT(TryOpen(BytesOf(bundle), lease, opening), IsOk());
  opening.minimum_version = 8;
  EXPECT_THAT(TryOpen(BytesOf(bundle), lease, opening),
              IsErrorSaying(ErrorCode::kGone, "version 7 was withdrawn: a signed manifest asks for 8 at least"));
}

TEST_F(Bundle, IsNotOpenedWhereNobodyKnowsWhatWasInUse) {
  const SealedBundle bundle = server_.Seal(SomePlaintext(10));
  guard_ = FakeGuard(Fail(ErrorCode::kDataLoss, "the counter was tampered with"));
  EXPECT_THAT(TryOpen(BytesOf(bundle), LeaseFor(bundle.manifest())), IsErrorSaying(ErrorCode::kDataLoss, "tampered"));
}

TEST_F(Bundle, AsksForALeaseThatHoldsNow) {
  const SealedBundle bundle = server_.Seal(SomePlaintext(10));
  const Bytes file = BytesOf(bundle);
  const std::string lease = LeaseFor(bundle.manifest());
  EXPECT_THAT(TryOpen(file, "{}"), IsErrorSaying(ErrorCode::kMalformed, "the lease: "));
  const SealedBundle other = server_.Seal(SomePlaintext(11));
  EXPECT_THAT(TryOpen(file, LeaseFor(other.manifest())),
              IsErrorSaying(ErrorCode::kConflict, "the lease is for the bundle with manifest"));
  server_.clock.Advance(std::chrono::hours(24) - Millis(1));
  EXPECT_THAT(TryOpen(file, lease), IsOk());
  server_.clock.Advance(Millis(1));
  EXPECT_THAT(TryOpen(file, lease), IsErrorSaying(ErrorCode::kGone, "the lease ended at "));
  server_.clock.Advance(-std::chrono::hours(24) - Millis(1));
  EXPECT_THAT(TryOpen(file, lease), IsErrorSaying(ErrorCode::kUnavailable, "the lease begins at "));
}

TEST_F(Bundle, RefusesALeaseOfAnotherContentKey) {
  const SealedBundle bundle = server_.Seal(SomePlaintext(10));
  server_.content_key = crypto::SecretKey::Random();
  EXPECT_THAT(TryOpen(BytesOf(bundle), LeaseFor(bundle.manifest())),
              IsErrorSaying(ErrorCode::kDataLoss, "the lease holds another key"));
}

TEST_F(Bundle, IsRefusedByAKeyThatTheLeaseIsNotFor) {
  const SealedBundle bundle = server_.Seal(SomePlaintext(10));
  const std::string lease = LeaseFor(bundle.manifest());
  key_ = *crypto::SoftAgreementKey::Generate();
  EXPECT_THAT(TryOpen(BytesOf(bundle), lease), IsErrorSaying(ErrorCode::kDataLoss, "the lease's key: "));
}

// What somebody with a lease could make: chunks that open, of another plaintext than the one that was signed.
TEST_F(Bundle, RefusesGoodChunksOfAPlaintextThatNobodySigned) {
  const Manifest manifest = server_.MakeManifest(SomePlaintext(kChunk + 10));
  const MadeHead made = *MakeHead(SignManifest(manifest, server_.keys));
  PayloadCipher cipher(PayloadKey(server_.content_key, made.head.digest), manifest);
  Bytes file = made.bytes;
  for (std::uint64_t index = 0; index < 2; ++index) {
    Bytes sealed(cipher.PlaintextSize(index) + crypto::Aead::kTagSize);
    cipher.Seal(index, Bytes(cipher.PlaintextSize(index), 66), sealed);
    file.insert(file.end(), sealed.begin(), sealed.end());
  }
  EXPECT_THAT(TryOpen(file, LeaseFor(manifest)), IsErrorSaying(ErrorCode::kDataLoss, "not the one that its manifest"));
}

TEST_F(Bundle, RefusesAHeadThatAnnouncesWhatItsManifestDoesNot) {
  const SealedBundle bundle = server_.Seal(SomePlaintext(10));
  const Bytes good = BytesOf(bundle);
  Bytes file = good;
  file[12] += 1;
  EXPECT_THAT(TryOpen(file, ""),
              IsErrorSaying(ErrorCode::kMalformed, "a payload of 27 bytes, and its manifest one of 26"));
  file = good;
  file[10] = 0xff;
  EXPECT_THAT(TryOpen(file, ""), IsErrorSaying(ErrorCode::kMalformed, "over the limit"));
  file = good;
  file[7] = '2';
  EXPECT_THAT(TryOpen(file, ""), IsErrorSaying(ErrorCode::kMalformed, "not a model bundle"));
}

TEST_F(Bundle, IsNotMadeOfAnotherPlaintextOrKeyThanItsManifestNames) {
  const Bytes plaintext = SomePlaintext(10);
  const std::string envelope = SignManifest(server_.MakeManifest(plaintext), server_.keys);
  EXPECT_THAT(SealedBundle::Create(envelope, server_.content_key, SharedBytes::Of(plaintext)), IsOk());
  EXPECT_THAT(SealedBundle::Create(envelope, crypto::SecretKey::Random(), SharedBytes::Of(plaintext)),
              IsErrorSaying(ErrorCode::kInvalidArgument, "another content key"));
  EXPECT_THAT(SealedBundle::Create(envelope, server_.content_key, SharedBytes::Of(SomePlaintext(11))),
              IsErrorSaying(ErrorCode::kInvalidArgument, "another plaintext"));
  EXPECT_THAT(SealedBundle::Create(envelope, server_.content_key, SharedBytes::Of(Bytes(10, 0))),
              IsErrorSaying(ErrorCode::kInvalidArgument, "another plaintext"));
}

}  // namespace
}  // namespace tacit::bundle
