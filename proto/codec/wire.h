#pragma once

#include <cstddef>
#include <string_view>

#include <google/protobuf/message_lite.h>

#include "common/base/bytes.h"
#include "common/base/result.h"

/// The step between bytes and generated messages; included only by the .cc files of this directory.
namespace tacit::codec {

Bytes SerializeMessage(const google::protobuf::MessageLite& message);

/// Errors: kTooLarge above `limit`, before anything is parsed; kMalformed.
Result<void> ParseMessage(ByteSpan bytes, std::size_t limit, std::string_view what,
                          google::protobuf::MessageLite& message);

}  // namespace tacit::codec
