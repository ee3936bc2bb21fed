#include <algorithm>

#include "common/crypto/secret.h"
#include "edge_agent/keys/key_place.h"
#include "edge_agent/keys/key_record.h"
#include "edge_agent/keys/version_record.h"
#include "tests/fuzz/fuzz.h"

namespace {

/// `content` with the digest that ends the file: lets the search change what the digest is over.
void ReadKeyRecord(tacit::ByteSpan content) {
  const tacit::Digest128 digest = tacit::Xxh3(content);
  const tacit::Bytes file = tacit::ByteWriter().Raw(content).Raw(digest).bytes();
  const auto record = tacit::keys::ParseKeyRecord(file);
  if (!record) return;
  TACIT_CHECK(std::ranges::equal(tacit::keys::FormatKeyRecord(*record).bytes(), file), "a key has one record");
}

void ReadVersionRecord(tacit::ByteSpan fields) {
  const auto record = tacit::keys::ParseVersionFields(fields);
  if (!record) return;
  const auto key = tacit::crypto::SecretKey::FromBytes(tacit::Bytes(tacit::crypto::SecretKey::kSize));
  const tacit::Bytes file = tacit::keys::FormatVersionRecord(*record, *key);
  TACIT_CHECK(std::ranges::equal(tacit::ByteSpan(file).first(fields.size()), fields), "versions have one record");
  const auto again = tacit::keys::ParseVersionRecord(file, *key);
  TACIT_CHECK(again.has_value() && *again == *record, "a record that was read can be written and read");
  TACIT_CHECK(!tacit::keys::ParseVersionRecord(fields, *key).has_value(), "nothing is believed without its HMAC");
}

void ReadKeyPlace(std::string_view text) {
  const auto place = tacit::keys::ParseKeyPlace(text);
  TACIT_CHECK(place.has_value() || !place.error().message.empty(), "a refusal says why");
}

}  // namespace

/// What leads a device to its key, and what it remembers of its models. The first byte says which file or text.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const tacit::ByteSpan rest(data + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      ReadKeyRecord(rest);
      break;
    case 1:
      ReadVersionRecord(rest);
      break;
    default:
      ReadKeyPlace(tacit::AsText(rest));
      break;
  }
  return 0;
}
