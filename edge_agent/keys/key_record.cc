#include "edge_agent/keys/key_record.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "edge_agent/keys/byte_reader.h"

namespace tacit::keys {
namespace {

constexpr std::string_view kMagic = "TACITDK1";

// One byte in the file; never given another meaning.
enum class Form : std::uint8_t { kClear = 1, kSealed = 2, kTpm = 3, kToken = 4 };

struct Writer {
  SecretBytes& out;

  // Room for the largest record is there from the start, so that no half of a key is left behind by a growing vector.
  void Add(ByteSpan bytes) const {
    Bytes& to = out.mutable_bytes();
    TACIT_CHECK(to.size() + bytes.size() <= to.capacity(), "records are bounded when they are made");
    to.insert(to.end(), bytes.begin(), bytes.end());
  }
  void Add(ByteWriter& fields) const { Add(fields.bytes()); }
  void AddForm(Form form) const {
    const auto byte = static_cast<std::uint8_t>(form);
    Add(ByteSpan(&byte, 1));
  }
  void AddSized(ByteSpan bytes) const {
    Add(ByteWriter().U64(bytes.size()));
    Add(bytes);
  }

  void operator()(const ClearKey& key) const {
    AddForm(Form::kClear);
    AddSized(key.pkcs8.bytes());
  }
  void operator()(const SealedKey& key) const {
    AddForm(Form::kSealed);
    Add(key.salt);
    AddSized(key.sealed);
  }
  void operator()(const TpmKeyRecord& key) const {
    AddForm(Form::kTpm);
    AddSized(key.public_area);
    AddSized(key.private_area);
    Add(key.parent);
    Add(ByteWriter().U32(key.counter));
    Add(key.public_key);
  }
  void operator()(const TokenKeyRecord& key) const {
    AddForm(Form::kToken);
    Add(key.id);
    Add(key.public_key);
  }
};

Bytes Copy(ByteSpan bytes) {
  return {bytes.begin(), bytes.end()};
}

KeyRecord ReadTpmKey(ByteReader& reader) {
  TpmKeyRecord key{};
  key.public_area = Copy(reader.Text(kLargestTpmArea));
  key.private_area = Copy(reader.Text(kLargestTpmArea));
  key.parent = reader.Array<sizeof(TpmName)>();
  key.counter = reader.Little<std::uint32_t>();
  key.public_key = reader.Array<sizeof(crypto::P256Point)>();
  return key;
}

KeyRecord ReadTokenKey(ByteReader& reader) {
  TokenKeyRecord key{};
  key.id = reader.Array<sizeof key.id>();
  key.public_key = reader.Array<sizeof(crypto::P256Point)>();
  return key;
}

Result<KeyRecord> ReadForm(ByteReader& reader) {
  switch (static_cast<Form>(reader.Little<std::uint8_t>())) {
    case Form::kClear:
      return ClearKey{SecretBytes(Copy(reader.Text(kLargestPkcs8)))};
    case Form::kSealed: {
      SealedKey key{.salt = reader.Array<sizeof(crypto::PassPhraseSalt)>(), .sealed = {}};
      key.sealed = Copy(reader.Text(kLargestPkcs8));
      return key;
    }
    case Form::kTpm:
      return ReadTpmKey(reader);
    case Form::kToken:
      return ReadTokenKey(reader);
  }
  return Fail(ErrorCode::kMalformed, "is of a form that this version does not know");
}

}  // namespace

SecretBytes FormatKeyRecord(const KeyRecord& record) {
  SecretBytes file{Bytes()};
  file.mutable_bytes().reserve(kLargestKeyRecord);
  const Writer writer{file};
  writer.Add(AsBytes(kMagic));
  std::visit(writer, record);
  writer.Add(Xxh3(file.bytes()));
  return file;
}

Result<KeyRecord> ParseKeyRecord(ByteSpan file) {
  constexpr std::size_t kDigestBytes = sizeof(Digest128);
  if (file.size() > kLargestKeyRecord || file.size() < kMagic.size() + kDigestBytes)
    return Fail(ErrorCode::kMalformed, "is no device key, or was cut");
  const ByteSpan digested = file.first(file.size() - kDigestBytes);
  if (AsText(file.first(kMagic.size())) != kMagic || !std::ranges::equal(Xxh3(digested), file.last(kDigestBytes)))
    return Fail(ErrorCode::kMalformed, "is no device key, or is damaged");
  ByteReader reader(digested.subspan(kMagic.size()));
  TACIT_TRY(KeyRecord record, ReadForm(reader));
  if (!reader.AtEnd()) return Fail(ErrorCode::kMalformed, "has fields that do not add up");
  return record;
}

std::string PlaceOf(const KeyRecord& record) {
  if (std::holds_alternative<TpmKeyRecord>(record)) return "tpm2";
  return std::holds_alternative<TokenKeyRecord>(record) ? "pkcs11" : "file";
}

}  // namespace tacit::keys
