#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/model/spec.h"

namespace tacit::model {

/// What travels with an exported model: facts about where it came from, never about a device.
using Metadata = std::map<std::string, std::string>;

/// The metadata key under which both exporters store the model's canonical text.
inline constexpr std::string_view kSpecKey = "tacit_model";

/// The model as a safetensors file: 8-byte little-endian header length, JSON header padded to 8 bytes, float32 tensors
/// in order. Shape: `parameters` has exactly `spec.ParameterCount()` elements. Source: safetensors format description,
/// version 0.3 and later.
[[nodiscard]] Bytes ToSafetensors(const ModelSpec& spec, std::span<const float> parameters, const Metadata& metadata);

/// What stands in such a file before the parameters, for who has those in a place of their own.
[[nodiscard]] Bytes SafetensorsHead(const ModelSpec& spec, const Metadata& metadata);

/// The model as a file that `numpy.load` reads: a stored (uncompressed) zip of one `.npy` a tensor, and `metadata`, a
/// 0-d byte string holding one JSON object. The same model gives the same bytes: no time stamps. Shape: `parameters`
/// has exactly `spec.ParameterCount()` elements.
[[nodiscard]] Bytes ToNpz(const ModelSpec& spec, std::span<const float> parameters, const Metadata& metadata);

struct LoadedModel {
  ModelSpec spec;
  std::vector<float> parameters;
  Metadata metadata;
};

/// Reads a safetensors file that ToSafetensors wrote. Tensors may be anywhere in the file, but must be those of the
/// specification in the metadata, float32, without overlap or gaps. Errors: kMalformed, naming the tensor or byte that
/// is wrong; takes no memory beyond the header before sizes are checked.
Result<LoadedModel> ParseSafetensors(ByteSpan file);

}  // namespace tacit::model
