#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "common/base/bytes.h"
#include "common/base/random.h"
#include "common/base/result.h"
#include "edge_agent/inference/engine.h"
#include "edge_agent/worker/serve.h"

// A model whose weights are random, and whose file is the model XOR a stream, so that no plain copy is anywhere else.
namespace tacit::worker::testing {

inline constexpr std::size_t kTestModelSize = std::size_t{256} * 1024;
inline constexpr std::size_t kInputs = 4;
/// Of a model whose outputs are no numbers.
inline constexpr std::uint32_t kBrokenVersion = 666;
inline constexpr std::uint32_t kTestMagic = 0x54534554;

inline std::uint64_t WeightsWord(std::size_t index) {
  return SplitMix64(0x5eed0000 + index)();
}
inline std::uint64_t StreamWord(std::uint64_t key, std::size_t index) {
  return SplitMix64(key + index * 2)();
}

/// The 64 bits of the model at `index`, of which the first are magic and version.
inline std::uint64_t ModelWord(std::uint32_t version, std::size_t index) {
  return index == 0 ? kTestMagic | std::uint64_t{version} << 32U : WeightsWord(index);
}

/// What stands in the file; never in clear in a buffer.
inline Bytes EncryptedModel(std::uint32_t version, std::uint64_t key) {
  Bytes file(kTestModelSize);
  for (std::size_t i = 0; i < file.size() / 8; ++i) {
    const std::uint64_t word = ModelWord(version, i) ^ StreamWord(key, i);
    std::memcpy(file.data() + i * 8, &word, sizeof word);
  }
  return file;
}

/// An OpenModel.
inline Result<OpenedModel> OpenTestModel(int file, ByteSpan opening, inference::Memory& weights) {
  std::uint64_t key = 0;
  if (opening.size() != sizeof key) return Fail(ErrorCode::kMalformed, "the key has 8 bytes");
  std::memcpy(&key, opening.data(), sizeof key);
  TACIT_TRY(const std::span<std::uint8_t> model, weights.Take(kTestModelSize));
  if (::pread(file, model.data(), model.size(), 0) != static_cast<ssize_t>(model.size())) {
    return Fail(ErrorCode::kDataLoss, "the model's file is too short");
  }
  for (std::size_t i = 0; i < model.size() / 8; ++i) {
    std::uint64_t word = 0;
    std::memcpy(&word, model.data() + i * 8, sizeof word);
    word ^= StreamWord(key, i);
    std::memcpy(model.data() + i * 8, &word, sizeof word);
  }
  return OpenedModel{.model = model};
}

/// The version. Errors: kMalformed.
inline Result<std::uint32_t> ReadTestModel(ByteSpan model) {
  std::uint64_t head = 0;
  if (model.size() != kTestModelSize) return Fail(ErrorCode::kMalformed, "no test model");
  std::memcpy(&head, model.data(), sizeof head);
  if (static_cast<std::uint32_t>(head) != kTestMagic) return Fail(ErrorCode::kMalformed, "no test model");
  return static_cast<std::uint32_t>(head >> 32U);
}

}  // namespace tacit::worker::testing
