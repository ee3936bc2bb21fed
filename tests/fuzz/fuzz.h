#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/bytes.h"
#include "common/base/check.h"

// What each target defines; libFuzzer and replay.cc call it. It ends the process when a promise of the parser is
// broken.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
