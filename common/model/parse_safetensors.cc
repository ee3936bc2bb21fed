#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/base/log.h"
#include "common/model/export.h"

namespace tacit::model {
namespace {

using Json = nlohmann::json;

// Enough for the tensors of the deepest model and 200 KiB of metadata; bounds what a hostile header can make the parser
// build.
constexpr std::uint64_t kMaxHeaderBytes = 256 * 1024;

std::unexpected<Error> Malformed(const std::string& what) {
  return Fail(ErrorCode::kMalformed, "safetensors: " + what);
}

Result<std::string_view> HeaderOf(ByteSpan file) {
  std::uint64_t size = 0;
  if (file.size() < sizeof size) return Malformed("expected at least 8 bytes, found " + std::to_string(file.size()));
  std::memcpy(&size, file.data(), sizeof size);
  if (size > kMaxHeaderBytes || size > file.size() - sizeof size) {
    return Malformed("byte 0: header length " + std::to_string(size) + " is over the limit of " +
                     std::to_string(kMaxHeaderBytes) + " or beyond the end of the file");
  }
  return AsText(file.subspan(sizeof size, static_cast<std::size_t>(size)));
}

Result<Metadata> MetadataOf(const Json& header) {
  const auto found = header.find("__metadata__");
  if (found == header.end() || !found->is_object()) return Malformed("expected an object '__metadata__'");
  Metadata metadata;
  for (const auto& [key, value] : found->items()) {
    const auto* text = value.get_ptr<const std::string*>();
    if (text == nullptr) return Malformed("__metadata__." + JsonQuote(key) + ": expected a string");
    metadata.emplace(key, *text);
  }
  return metadata;
}

std::optional<std::uint64_t> Unsigned(const Json& value) {
  const auto* number = value.get_ptr<const Json::number_unsigned_t*>();
  return number == nullptr ? std::nullopt : std::optional<std::uint64_t>(*number);
}

bool IsListOf(const Json& value, const std::vector<std::size_t>& wanted) {
  if (!value.is_array() || value.size() != wanted.size()) return false;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (Unsigned(value[i]) != wanted[i]) return false;
  }
  return true;
}

const Json& Member(const Json& object, const char* name) {
  static const Json kNothing;
  const auto found = object.find(name);
  return found == object.end() ? kNothing : *found;
}

// Where the tensor's bytes are in `data`, once everything that is said of them is what the specification says.
Result<ByteSpan> BytesOf(const Json& header, const Tensor& tensor, ByteSpan data) {
  const auto found = header.find(tensor.name);
  const std::string where = "tensor " + tensor.name;
  if (found == header.end() || !found->is_object()) return Malformed(where + ": expected, not found");
  const auto* dtype = Member(*found, "dtype").get_ptr<const std::string*>();
  if (dtype == nullptr || *dtype != "F32") return Malformed(where + ": expected dtype F32");
  if (!IsListOf(Member(*found, "shape"), tensor.shape)) {
    return Malformed(where + ": shape differs from the specification in the metadata");
  }
  const Json& offsets = Member(*found, "data_offsets");
  const bool pair = offsets.is_array() && offsets.size() == 2;
  const auto begin = pair ? Unsigned(offsets[0]) : std::nullopt;
  const auto end = pair ? Unsigned(offsets[1]) : std::nullopt;
  const std::size_t wanted = tensor.size() * sizeof(float);
  if (!begin || !end || *begin > *end || *end > data.size() || *end - *begin != wanted) {
    return Malformed(where + ": expected data_offsets of " + std::to_string(wanted) + " bytes inside the file");
  }
  return data.subspan(static_cast<std::size_t>(*begin), wanted);
}

// No byte belongs to two tensors or to none: one file has one reading.
bool AreContiguous(std::vector<ByteSpan> parts) {
  std::ranges::sort(parts, {}, [](ByteSpan part) { return part.data(); });
  const auto apart = [](ByteSpan a, ByteSpan b) { return a.data() + a.size() != b.data(); };
  return std::ranges::adjacent_find(parts, apart) == parts.end();
}

}  // namespace

Result<LoadedModel> ParseSafetensors(ByteSpan file) {
  TACIT_TRY(const std::string_view text, HeaderOf(file));
  const Json header = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!header.is_object()) return Malformed("byte 8: expected a JSON object");
  TACIT_TRY(Metadata metadata, MetadataOf(header));
  const auto canonical = metadata.find(std::string(kSpecKey));
  if (canonical == metadata.end()) {
    return Malformed("__metadata__." + std::string(kSpecKey) + ": expected; only models exported by Tacit can be read");
  }
  TACIT_TRY(ModelSpec spec, ModelSpec::Parse(canonical->second));
  const std::vector<Tensor> tensors = spec.Tensors();
  const ByteSpan data = file.subspan(8 + text.size());
  if (header.size() != tensors.size() + 1) return Malformed("expected exactly the tensors of " + spec.CanonicalText());
  // With each tensor inside the data, this also bounds the memory taken below by the size of the file.
  if (data.size() != spec.ParameterCount() * sizeof(float)) {
    return Malformed("expected " + std::to_string(spec.ParameterCount() * sizeof(float)) + " bytes of tensors, found " +
                     std::to_string(data.size()));
  }
  std::vector<float> parameters(spec.ParameterCount());
  std::vector<ByteSpan> parts;
  for (const Tensor& tensor : tensors) {
    TACIT_TRY(parts.emplace_back(), BytesOf(header, tensor, data));
    std::memcpy(parameters.data() + tensor.offset, parts.back().data(), parts.back().size());
  }
  if (!AreContiguous(std::move(parts))) return Malformed("tensors overlap or leave a gap");
  return LoadedModel{.spec = std::move(spec), .parameters = std::move(parameters), .metadata = std::move(metadata)};
}

}  // namespace tacit::model
