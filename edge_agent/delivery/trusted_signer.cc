#include "edge_agent/delivery/trusted_signer.h"

#include <algorithm>
#include <string>

#include "common/base/files.h"

namespace tacit::delivery {
namespace {

constexpr std::size_t kLargestPem = 4096;

}  // namespace

Result<std::vector<crypto::Ed25519PublicKey>> TrustedSigner::Keys() const {
  if (!pinned_.empty()) return pinned_;
  const auto pem = ReadFile(file_, kLargestPem);
  if (!pem && pem.error().code == ErrorCode::kNotFound) return std::vector<crypto::Ed25519PublicKey>{};
  if (!pem) return std::unexpected(pem.error());
  const auto key = crypto::ReadEd25519PublicPem(AsText(*pem));
  if (!key) return Fail(ErrorCode::kDataLoss, file_.string() + ": " + key.error().message);
  return std::vector{*key};
}

Result<bundle::SignerSet> TrustedSigner::For(const crypto::Ed25519PublicKey& offered) const {
  TACIT_TRY(std::vector<crypto::Ed25519PublicKey> keys, Keys());
  if (keys.empty()) return bundle::SignerSet::Create({offered}, 1);
  if (std::ranges::find(keys, offered) != keys.end()) return bundle::SignerSet::Create(std::move(keys), 1);
  return Fail(ErrorCode::kPermissionDenied,
              "the server signs models with the key " + crypto::KeyIdOf(offered).substr(0, 16) +
                  "..., which this device does not trust" +
                  (pinned_.empty() ? ": it was another one when this device first asked. If its owner changed it, "
                                     "remove " +
                                         file_.string()
                                   : ": none of those that it was started with"));
}

Result<bundle::SignerSet> TrustedSigner::Known() const {
  TACIT_TRY(std::vector<crypto::Ed25519PublicKey> keys, Keys());
  if (!keys.empty()) return bundle::SignerSet::Create(std::move(keys), 1);
  return Fail(ErrorCode::kNotFound, "this device does not know yet who signs its models");
}

Result<void> TrustedSigner::Keep(const crypto::Ed25519PublicKey& offered) const {
  TACIT_TRY(const std::vector<crypto::Ed25519PublicKey> keys, Keys());
  if (!keys.empty()) return {};
  return WriteFileAtomic(file_, AsBytes(crypto::ToPem(offered)), kOwnerOnly);
}

}  // namespace tacit::delivery
