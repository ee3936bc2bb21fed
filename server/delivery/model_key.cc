#include "server/delivery/model_key.h"

#include <string>

#include "common/base/files.h"
#include "common/crypto/secret.h"

namespace tacit::delivery {

namespace {

constexpr std::size_t kLargestPem = std::size_t{64} * 1024;

Result<crypto::SigningKey> MakeModelKey(const std::filesystem::path& path) {
  TACIT_TRY(crypto::SigningKey key, crypto::SigningKey::Generate());
  TACIT_TRY(std::string pem, key.ToPem());
  const auto written = WriteNewSecretFile(path, AsBytes(pem));
  crypto::Zeroise(pem);
  if (!written) {
    return Annotate(written.error(), "the key that signs models ('pki.model_key') is not there and cannot be made");
  }
  return key;
}

}  // namespace

Result<crypto::SigningKey> ReadOrMakeModelKey(const std::filesystem::path& path) {
  auto pem = ReadFile(path, kLargestPem);
  if (!pem && pem.error().code == ErrorCode::kNotFound) return MakeModelKey(path);
  if (!pem) return std::unexpected(pem.error());
  TACIT_TRY_VOID(CheckClosedToOthers(path));
  auto key = crypto::SigningKey::FromPem(AsText(*pem));
  crypto::Zeroise(*pem);
  if (!key) return Annotate(key.error(), path.string());
  return key;
}

}  // namespace tacit::delivery
