#include "common/model/export.h"

#include <cstring>
#include <utility>

#include <zlib.h>

#include "common/base/check.h"
#include "common/base/log.h"

namespace tacit::model {
namespace {

std::string ShapeText(const std::vector<std::size_t>& shape, std::string_view separator) {
  std::string text;
  for (const std::size_t extent : shape) {
    if (!text.empty()) text += separator;
    text += std::to_string(extent);
  }
  return text;
}

std::string MetadataJson(const ModelSpec& spec, Metadata metadata) {
  metadata[std::string(kSpecKey)] = spec.CanonicalText();
  std::string json = "{";
  for (const auto& [key, value] : metadata) {
    if (json.size() > 1) json += ',';
    json += JsonQuote(key) + ":" + JsonQuote(value);
  }
  return json + "}";
}

std::string SafetensorsHeader(const ModelSpec& spec, const Metadata& metadata) {
  std::string json = R"({"__metadata__":)" + MetadataJson(spec, metadata);
  for (const Tensor& tensor : spec.Tensors()) {
    const std::size_t begin = tensor.offset * sizeof(float);
    const std::size_t end = begin + tensor.size() * sizeof(float);
    json += ',' + JsonQuote(tensor.name) + R"(:{"dtype":"F32","shape":[)" + ShapeText(tensor.shape, ",") +
            R"(],"data_offsets":[)" + std::to_string(begin) + ',' + std::to_string(end) + "]}";
  }
  json += '}';
  json.append((8 - json.size() % 8) % 8, ' ');
  return json;
}

// NPY 1.0: magic, version, u16 header length, Python literal padded with spaces so that data starts at a multiple
// of 64.
std::string NpyHeader(std::string_view descr, std::string_view shape) {
  constexpr std::size_t kPrefix = 10;
  std::string literal =
      "{'descr': '" + std::string(descr) + "', 'fortran_order': False, 'shape': (" + std::string(shape) + "), }";
  literal.append((64 - (kPrefix + literal.size() + 1) % 64) % 64, ' ');
  literal += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(literal.size() & 0xffU);
  header += static_cast<char>(literal.size() >> 8U);
  return header + literal;
}

std::string NpyShape(const std::vector<std::size_t>& shape) {
  return ShapeText(shape, ", ") + (shape.size() == 1 ? "," : "");
}

// A zip archive whose members are stored as they are. Members and archive stay under 4 GiB: kMaxParameters is 1 GiB of
// floats. Source: PKWARE APPNOTE.TXT 6.3, sections 4.3.7, 4.3.12 and 4.3.16.
class StoredZip {
 public:
  explicit StoredZip(std::size_t expected_bytes) { bytes_.reserve(expected_bytes); }

  void Add(std::string_view name, ByteSpan head, ByteSpan data) {
    const auto size = static_cast<std::uint32_t>(head.size() + data.size());
    uLong crc = crc32_z(0, head.data(), head.size());
    crc = crc32_z(crc, data.data(), data.size());
    const auto offset = static_cast<std::uint32_t>(bytes_.size());
    const Bytes common = CommonFields(name, size, static_cast<std::uint32_t>(crc));

    U32(bytes_, 0x04034b50);
    Append(bytes_, common);
    Append(bytes_, AsBytes(name));
    Append(bytes_, head);
    Append(bytes_, data);

    U32(directory_, 0x02014b50);
    U16(directory_, kVersion);
    Append(directory_, common);
    directory_.insert(directory_.end(), 10, 0);  // comment length, disk, internal and external attributes
    U32(directory_, offset);
    Append(directory_, AsBytes(name));
    ++members_;
  }

  Bytes Finish() && {
    const auto directory_offset = static_cast<std::uint32_t>(bytes_.size());
    Append(bytes_, directory_);
    U32(bytes_, 0x06054b50);
    U32(bytes_, 0);  // disk numbers
    U16(bytes_, members_);
    U16(bytes_, members_);
    U32(bytes_, static_cast<std::uint32_t>(directory_.size()));
    U32(bytes_, directory_offset);
    U16(bytes_, 0);  // comment length
    return std::move(bytes_);
  }

 private:
  static constexpr std::uint16_t kVersion = 20;
  static constexpr std::uint16_t kFirstOfJanuary1980 = 0x21;

  static void U16(Bytes& out, std::uint16_t value) {
    out.push_back(static_cast<std::uint8_t>(value & 0xffU));
    out.push_back(static_cast<std::uint8_t>(value >> 8U));
  }
  static void U32(Bytes& out, std::uint32_t value) {
    U16(out, static_cast<std::uint16_t>(value & 0xffffU));
    U16(out, static_cast<std::uint16_t>(value >> 16U));
  }
  static void Append(Bytes& out, ByteSpan bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

  // What the local header and the directory entry have in common, from "version needed" to "extra field length".
  static Bytes CommonFields(std::string_view name, std::uint32_t size, std::uint32_t crc) {
    Bytes fields;
    U16(fields, kVersion);
    U16(fields, 0);  // flags
    U16(fields, 0);  // stored
    U16(fields, 0);  // time
    U16(fields, kFirstOfJanuary1980);
    U32(fields, crc);
    U32(fields, size);
    U32(fields, size);
    U16(fields, static_cast<std::uint16_t>(name.size()));
    U16(fields, 0);  // extra field
    return fields;
  }

  Bytes bytes_;
  Bytes directory_;
  std::uint16_t members_ = 0;
};

void CheckLength(const ModelSpec& spec, std::span<const float> parameters) {
  TACIT_CHECK(parameters.size() == spec.ParameterCount(), "the caller exports parameters of this specification");
}

}  // namespace

Bytes SafetensorsHead(const ModelSpec& spec, const Metadata& metadata) {
  const std::string header = SafetensorsHeader(spec, metadata);
  Bytes head;
  head.reserve(8 + header.size());
  for (unsigned shift = 0; shift < 64; shift += 8) {
    head.push_back(static_cast<std::uint8_t>(std::uint64_t{header.size()} >> shift));
  }
  head.insert(head.end(), header.begin(), header.end());
  return head;
}

Bytes ToSafetensors(const ModelSpec& spec, std::span<const float> parameters, const Metadata& metadata) {
  CheckLength(spec, parameters);
  Bytes file = SafetensorsHead(spec, metadata);
  const ByteSpan data = AsBytes(parameters);
  file.reserve(file.size() + data.size());
  file.insert(file.end(), data.begin(), data.end());
  return file;
}

Bytes ToNpz(const ModelSpec& spec, std::span<const float> parameters, const Metadata& metadata) {
  CheckLength(spec, parameters);
  const std::string json = MetadataJson(spec, metadata);
  StoredZip zip(parameters.size_bytes() + json.size() + 16384);
  for (const Tensor& tensor : spec.Tensors()) {
    const std::string header = NpyHeader("<f4", NpyShape(tensor.shape));
    zip.Add(tensor.name + ".npy", AsBytes(header), AsBytes(parameters.subspan(tensor.offset, tensor.size())));
  }
  zip.Add("metadata.npy", AsBytes(NpyHeader("|S" + std::to_string(json.size()), "")), AsBytes(json));
  return std::move(zip).Finish();
}

}  // namespace tacit::model
