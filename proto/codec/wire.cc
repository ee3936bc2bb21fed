#include "proto/codec/wire.h"

#include <string>

#include <google/protobuf/stubs/logging.h>

#include "common/base/check.h"

namespace tacit::codec {
namespace {

/// The library reports bytes that are not UTF-8 on stderr. A peer must not be able to write there: the error is
/// returned.
void SilenceLibraryLog() {
  [[maybe_unused]] static const auto previous = google::protobuf::SetLogHandler(nullptr);
}

}  // namespace

Bytes SerializeMessage(const google::protobuf::MessageLite& message) {
  Bytes bytes(message.ByteSizeLong());
  const bool whole = message.SerializeToArray(bytes.data(), static_cast<int>(bytes.size()));
  TACIT_CHECK(whole, "proto3 has no required fields, and the buffer has the size that the message asked for");
  return bytes;
}

Result<void> ParseMessage(ByteSpan bytes, std::size_t limit, std::string_view what,
                          google::protobuf::MessageLite& message) {
  if (bytes.size() > limit) {
    return Fail(ErrorCode::kTooLarge, std::string(what) + " of " + std::to_string(bytes.size()) +
                                          " bytes is over the limit of " + std::to_string(limit));
  }
  SilenceLibraryLog();
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Fail(ErrorCode::kMalformed, std::string(what) + " is not a Protobuf message of its type");
  }
  return {};
}

}  // namespace tacit::codec
