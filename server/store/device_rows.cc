#include <algorithm>
#include <array>
#include <string>

#include "server/store/rows.h"
#include "server/store/sqlite_store.h"

// Devices, and the tokens that admit them.
namespace tacit::store {

namespace {

constexpr std::array kDeviceStates = {DeviceState::kActive, DeviceState::kRevoked};

Result<DeviceRecord> TakeDevice(Query& query) {
  TACIT_TRY(DeviceId id, TakeName<DeviceId>(query));
  DeviceRecord device{.id = std::move(id),
                      .certificate_serial = {},
                      .certificate_not_after = {},
                      .enrolled_at = {},
                      .last_seen = {},
                      .token_hash_hex = {}};
  TACIT_TRY(device.state, TakeWord(query, kDeviceStates));
  device.public_key_sha256 = query.TakeDigest<Digest256>();
  device.certificate_serial = query.TakeText();
  device.certificate_not_after = query.TakeTime();
  device.enrolled_at = query.TakeTime();
  device.last_seen = query.TakeOptionalTime();
  device.token_hash_hex = query.TakeText();
  return device;
}

Result<std::optional<DeviceRecord>> FindDevice(Database& database, const DeviceId& id) {
  TACIT_TRY(Query query, database.Prepare("SELECT * FROM devices WHERE id = ?"));
  query.Bind(id.str());
  return TakeFirst(std::move(query), TakeDevice);
}

Result<void> InsertDevice(Database& database, const DeviceRecord& device) {
  TACIT_TRY(
      Query insert,
      database.Prepare("INSERT INTO devices (id, state, public_key_sha256, certificate_serial, certificate_not_after,"
                       " enrolled_at, last_seen, token_hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"));
  insert.Bind(device.id.str())
      .Bind(NameOf(device.state))
      .Bind(device.public_key_sha256)
      .Bind(device.certificate_serial);
  insert.Bind(device.certificate_not_after).Bind(device.enrolled_at).Bind(device.last_seen).Bind(device.token_hash_hex);
  Result<void> inserted = insert.Run();
  if (inserted || inserted.error().code != ErrorCode::kConflict) return inserted;
  return Fail(ErrorCode::kConflict, "the device name '" + device.id.str() + "' is taken");
}

Result<void> SetCertificate(Database& database, const DeviceId& id, const DeviceCertificate& certificate) {
  TACIT_TRY(Query update, database.Prepare("UPDATE devices SET public_key_sha256 = ?, certificate_serial = ?,"
                                           " certificate_not_after = ? WHERE id = ?"));
  update.Bind(certificate.public_key_sha256).Bind(certificate.serial).Bind(certificate.not_after);
  return update.Bind(id.str()).Run();
}

DeviceCertificate CertificateOf(const DeviceRecord& device) {
  return {device.public_key_sha256, device.certificate_serial, device.certificate_not_after};
}

Result<TokenRecord> TakeToken(Query& query) {
  TokenRecord token;
  token.hash = query.TakeDigest<Digest256>();
  token.uses_left = query.TakeU64();
  token.expires_at = query.TakeTime();
  if (!query.SkipNull()) {
    TACIT_TRY(token.fixed_name, TakeName<DeviceId>(query));
  }
  token.created_at = query.TakeTime();
  return token;
}

/// The first or the last hash that a token of this id may have.
Digest256 Padded(const TokenRecord::Id& id, std::uint8_t rest) {
  Digest256 hash{};
  hash.fill(rest);
  std::ranges::copy(id, hash.begin());
  return hash;
}

/// The token, when it may still enrol a device of this name.
Result<TokenRecord> UsableToken(Database& database, const Digest256& hash, WallTime now, const DeviceId& name) {
  TACIT_TRY(Query query, database.Prepare("SELECT * FROM tokens WHERE hash = ?"));
  query.Bind(hash);
  TACIT_TRY(std::optional<TokenRecord> token, TakeFirst(std::move(query), TakeToken));
  if (!token) return Fail(ErrorCode::kUnauthenticated, "the enrolment token is not known");
  if (now >= token->expires_at) {
    return Fail(ErrorCode::kUnauthenticated, "the enrolment token expired at " + FormatRfc3339(token->expires_at));
  }
  if (token->fixed_name && *token->fixed_name != name) {
    return Fail(ErrorCode::kPermissionDenied, "the enrolment token is for another device name");
  }
  return *std::move(token);
}

Result<void> ConsumeUse(Database& database, const TokenRecord& token) {
  if (token.uses_left == 0) {
    return Fail(ErrorCode::kUnauthenticated, token.fixed_name
                                                 ? "the enrolment token is used up, or another one admitted '" +
                                                       token.fixed_name->str() + "' since it was made"
                                                 : "the enrolment token is used up");
  }
  TACIT_TRY(Query update, database.Prepare("UPDATE tokens SET uses_left = uses_left - 1 WHERE hash = ?"));
  return update.Bind(token.hash).Run();
}

/// A token that was made before a device was admitted under its name must not replace this one.
Result<void> UseUpTokensFor(Database& database, const DeviceId& name) {
  TACIT_TRY(Query update, database.Prepare("UPDATE tokens SET uses_left = 0 WHERE fixed_name = ?"));
  return update.Bind(name.str()).Run();
}

std::unexpected<Error> NameIsRevoked(const DeviceId& name) {
  return Fail(ErrorCode::kConflict,
              "device '" + name.str() + "' is revoked, and stays so: a device that is to come in needs another name");
}

/// The key and certificate of `recorded` become those of `device`, and it may show another key for its models.
Result<void> Readmit(Database& database, const DeviceRecord& recorded, const DeviceRecord& device) {
  if (recorded.state == DeviceState::kRevoked) return NameIsRevoked(recorded.id);
  TACIT_TRY_VOID(SetCertificate(database, device.id, CertificateOf(device)));
  TACIT_TRY(Query update, database.Prepare("UPDATE devices SET token_hash = ? WHERE id = ?"));
  TACIT_TRY_VOID(update.Bind(device.token_hash_hex).Bind(device.id.str()).Run());
  // Its number stays, so that no lease for the key before is taken for one of the next.
  TACIT_TRY(Query forget, database.Prepare("UPDATE device_keys SET point = NULL WHERE device = ?"));
  return forget.Bind(device.id.str()).Run();
}

/// The same device asking again, because the answer to its first request was lost.
bool IsRepeat(const DeviceRecord& recorded, const DeviceRecord& asking) {
  return recorded.state == DeviceState::kActive && recorded.token_hash_hex == asking.token_hash_hex &&
         recorded.public_key_sha256 == asking.public_key_sha256;
}

}  // namespace

Result<void> SqliteStore::AddDevice(const DeviceRecord& device) {
  TACIT_TRY_VOID(InsertDevice(*database_, device));
  After("device_row");
  return {};
}

Result<DeviceRecord> SqliteStore::Device(const DeviceId& id) {
  TACIT_TRY(std::optional<DeviceRecord> device, FindDevice(*database_, id));
  if (!device) return Fail(ErrorCode::kNotFound, "there is no device '" + id.str() + "'");
  return *std::move(device);
}

Result<std::vector<DeviceRecord>> SqliteStore::Devices(const std::optional<DeviceId>& after, std::size_t limit) {
  TACIT_TRY(Query query, database_->Prepare("SELECT * FROM devices WHERE id > ? ORDER BY id LIMIT ?"));
  query.Bind(after ? after->str() : std::string()).Bind(limit);
  return TakeAll(std::move(query), TakeDevice);
}

Result<DeviceCounts> SqliteStore::CountDevices() {
  TACIT_TRY(Query query,
            database_->Prepare("SELECT coalesce(sum(state = 'active'), 0), coalesce(sum(state = 'revoked'), 0)"
                               " FROM devices"));
  TACIT_TRY(const auto counts, TakeFirst(std::move(query), [](Query& row) -> Result<DeviceCounts> {
              DeviceCounts read;
              read.active = row.TakeU64();
              read.revoked = row.TakeU64();
              return read;
            }));
  return counts.value_or(DeviceCounts{});
}

Result<void> SqliteStore::RevokeDevice(const DeviceId& id) {
  TACIT_TRY(Query update, database_->Prepare("UPDATE devices SET state = 'revoked' WHERE id = ?"));
  TACIT_TRY_VOID(update.Bind(id.str()).Run());
  if (update.Changes() == 0) return Fail(ErrorCode::kNotFound, "there is no device '" + id.str() + "'");
  After("device_revoked");
  return {};
}

Result<void> SqliteStore::UpdateDeviceCertificate(const DeviceId& id, const DeviceCertificate& certificate) {
  TACIT_TRY(const DeviceRecord device, Device(id));
  if (device.state == DeviceState::kRevoked) {
    return Fail(ErrorCode::kPermissionDenied, "device '" + id.str() + "' is revoked");
  }
  // Also what keeps a renewal that an admission overtook from bringing the replaced key back.
  if (device.public_key_sha256 != certificate.public_key_sha256) {
    return Fail(ErrorCode::kPermissionDenied, "device '" + id.str() +
                                                  "' was admitted with another key; a token for its "
                                                  "name admits it with a new one");
  }
  TACIT_TRY_VOID(SetCertificate(*database_, id, certificate));
  After("device_certificate");
  return {};
}

Result<void> SqliteStore::TouchDevices(std::span<const DeviceSighting> sightings) {
  TACIT_TRY(Transaction step, Transaction::Begin(*database_));
  for (const DeviceSighting& sighting : sightings) {
    TACIT_TRY(Query update, database_->Prepare("UPDATE devices SET last_seen = max(coalesce(last_seen, ?1), ?1)"
                                               " WHERE id = ?2"));
    TACIT_TRY_VOID(update.Bind(sighting.at).Bind(sighting.device.str()).Run());
  }
  return CommitStep(step, "devices_touched");
}

Result<TokenPurpose> SqliteStore::CreateToken(const TokenRecord& token) {
  if (token.uses_left == 0) return Fail(ErrorCode::kInvalidArgument, "a token needs at least one use");
  TACIT_TRY(Transaction step, Transaction::Begin(*database_));
  std::optional<DeviceRecord> holder;
  if (token.fixed_name) {
    TACIT_TRY(holder, FindDevice(*database_, *token.fixed_name));
  }
  if (holder && holder->state == DeviceState::kRevoked) return NameIsRevoked(holder->id);
  TACIT_TRY(Query insert, database_->Prepare("INSERT INTO tokens (hash, uses_left, expires_at, fixed_name, created_at)"
                                             " VALUES (?, ?, ?, ?, ?)"));
  insert.Bind(token.hash).Bind(token.uses_left).Bind(token.expires_at);
  if (token.fixed_name) {
    insert.Bind(token.fixed_name->str());
  } else {
    insert.BindNull();
  }
  TACIT_TRY_VOID(insert.Bind(token.created_at).Run());
  TACIT_TRY_VOID(CommitStep(step, "token_row"));
  return holder ? TokenPurpose::kReadmits : TokenPurpose::kAdmits;
}

Result<Redemption> SqliteStore::RedeemToken(const Digest256& hash, WallTime now, const DeviceRecord& device) {
  DeviceRecord enrolled = device;
  enrolled.token_hash_hex = ToHex(hash);
  TACIT_TRY(Transaction step, Transaction::Begin(*database_));
  TACIT_TRY(const TokenRecord token, UsableToken(*database_, hash, now, device.id));
  TACIT_TRY(const std::optional<DeviceRecord> recorded, FindDevice(*database_, device.id));
  if (recorded && IsRepeat(*recorded, enrolled)) {
    TACIT_TRY_VOID(SetCertificate(*database_, device.id, CertificateOf(device)));
    TACIT_TRY_VOID(CommitStep(step, "token_repeated"));
    return Redemption::kRepeat;
  }
  TACIT_TRY_VOID(ConsumeUse(*database_, token));
  const bool readmits = recorded && token.fixed_name;
  TACIT_TRY_VOID(readmits ? Readmit(*database_, *recorded, enrolled) : InsertDevice(*database_, enrolled));
  TACIT_TRY_VOID(UseUpTokensFor(*database_, device.id));
  TACIT_TRY_VOID(CommitStep(step, "token_redeemed"));
  return readmits ? Redemption::kReadmitted : Redemption::kFirst;
}

Result<std::vector<TokenRecord>> SqliteStore::Tokens(const std::optional<TokenRecord::Id>& after, std::size_t limit) {
  // The first page begins before any hash: there is no shorter text.
  TACIT_TRY(Query query, database_->Prepare("SELECT * FROM tokens WHERE hash > ? ORDER BY hash LIMIT ?"));
  if (after) {
    query.Bind(Padded(*after, 0xff));
  } else {
    query.Bind(ByteSpan{});
  }
  query.Bind(limit);
  return TakeAll(std::move(query), TakeToken);
}

Result<TokenRecord> SqliteStore::RevokeToken(const TokenRecord::Id& id) {
  const Digest256 first = Padded(id, 0);
  const Digest256 last = Padded(id, 0xff);
  {
    TACIT_TRY(Query update, database_->Prepare("UPDATE tokens SET uses_left = 0 WHERE hash BETWEEN ? AND ?"));
    TACIT_TRY_VOID(update.Bind(first).Bind(last).Run());
    if (update.Changes() > 0) After("token_revoked");
  }
  TACIT_TRY(Query query, database_->Prepare("SELECT * FROM tokens WHERE hash BETWEEN ? AND ?"));
  query.Bind(first).Bind(last);
  TACIT_TRY(std::optional<TokenRecord> token, TakeFirst(std::move(query), TakeToken));
  if (!token) return Fail(ErrorCode::kNotFound, "there is no enrolment token '" + ToHex(id) + "'");
  return *std::move(token);
}

}  // namespace tacit::store
