#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/text.h"
#include "edge_agent/data/array_rows.h"
#include "edge_agent/data/row_reader.h"

namespace tacit::data {
namespace {

constexpr std::size_t kLongestHeader = 64 * 1024;
constexpr std::size_t kMaxNpyDimensions = 32;

struct NamedElement {
  std::string_view descr;
  ElementType type;
};

const ElementType* FindElement(std::string_view descr) {
  static const std::array<NamedElement, 11> kElements{{{"|i1", LittleEndian<std::int8_t>()},
                                                       {"<i1", LittleEndian<std::int8_t>()},
                                                       {"|u1", LittleEndian<std::uint8_t>()},
                                                       {"<u1", LittleEndian<std::uint8_t>()},
                                                       {"<i2", LittleEndian<std::int16_t>()},
                                                       {"<u2", LittleEndian<std::uint16_t>()},
                                                       {"<i4", LittleEndian<std::int32_t>()},
                                                       {"<u4", LittleEndian<std::uint32_t>()},
                                                       {"<i8", LittleEndian<std::int64_t>()},
                                                       {"<f4", LittleEndian<float>()},
                                                       {"<f8", LittleEndian<double>()}}};
  const auto found = std::ranges::find(kElements, descr, &NamedElement::descr);
  return found == kElements.end() ? nullptr : &found->type;
}

struct NpyHeader {
  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<std::uint64_t>> shape;
};

// Reads the header's Python literal: a dictionary with exactly the keys descr, fortran_order and shape.
class LiteralParser {
 public:
  explicit LiteralParser(std::string_view text) : rest_(text) {}

  // nullopt when the text is anything else; `rest()` then starts near the fault.
  std::optional<NpyHeader> Parse() {
    NpyHeader header;
    if (!Take('{')) return std::nullopt;
    while (!Take('}')) {
      if (!ParseEntry(header)) return std::nullopt;
      if (!Take(',') && !Peek('}')) return std::nullopt;
    }
    SkipSpace();
    const bool complete = header.descr && header.fortran_order && header.shape;
    return rest_.empty() && complete ? std::optional(std::move(header)) : std::nullopt;
  }

  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  void SkipSpace() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\n')) rest_.remove_prefix(1);
  }
  bool Peek(char c) {
    SkipSpace();
    return !rest_.empty() && rest_.front() == c;
  }
  bool Take(char c) {
    if (!Peek(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool TakeWord(std::string_view word) {
    SkipSpace();
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  std::optional<std::string> ParseString() {
    SkipSpace();
    if (rest_.empty() || (rest_.front() != '\'' && rest_.front() != '"')) return std::nullopt;
    const std::size_t end = rest_.find(rest_.front(), 1);
    if (end == std::string_view::npos) return std::nullopt;
    std::string text(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return text;
  }

  std::optional<bool> ParseBool() {
    if (TakeWord("True")) return true;
    if (TakeWord("False")) return false;
    return std::nullopt;
  }

  std::optional<std::vector<std::uint64_t>> ParseShape() {
    if (!Take('(')) return std::nullopt;
    std::vector<std::uint64_t> extents;
    while (!Take(')')) {
      SkipSpace();
      std::uint64_t extent = 0;
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), extent);
      if (error != std::errc() || extents.size() == kMaxNpyDimensions) return std::nullopt;
      rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
      extents.push_back(extent);
      if (!Take(',') && !Peek(')')) return std::nullopt;
    }
    return extents;
  }

  // A key given twice is refused: two readers could disagree on which one counts.
  bool ParseEntry(NpyHeader& header) {
    const std::optional<std::string> key = ParseString();
    if (!key || !Take(':')) return false;
    if (*key == "descr" && !header.descr) return (header.descr = ParseString()).has_value();
    if (*key == "fortran_order" && !header.fortran_order) return (header.fortran_order = ParseBool()).has_value();
    if (*key == "shape" && !header.shape) return (header.shape = ParseShape()).has_value();
    return false;
  }

  std::string_view rest_;
};

Result<std::size_t> ReadHeaderLength(DataStream& stream) {
  std::array<std::uint8_t, 8> magic{};
  TACIT_TRY_VOID(stream.ReadExactly(magic, "the NPY magic number and version"));
  if (AsText(magic).substr(0, 6) != "\x93NUMPY")
    return stream.Malformed("the magic number \\x93NUMPY", "another file format");
  if (magic[6] != 1 && magic[6] != 2) {
    return stream.Malformed("NPY version 1.0 or 2.0", std::to_string(magic[6]) + "." + std::to_string(magic[7]));
  }
  std::array<std::uint8_t, 4> length{};
  TACIT_TRY_VOID(stream.ReadExactly(std::span(length).first(magic[6] == 1 ? 2 : 4), "the NPY header length"));
  const std::size_t size =
      length[0] + (std::size_t{length[1]} << 8U) + (std::size_t{length[2]} << 16U) + (std::size_t{length[3]} << 24U);
  if (size > kLongestHeader) {
    return stream.Malformed("a header of at most " + std::to_string(kLongestHeader) + " bytes", std::to_string(size));
  }
  return size;
}

Result<NpyHeader> ReadHeader(DataStream& stream) {
  TACIT_TRY(const std::size_t size, ReadHeaderLength(stream));
  const std::uint64_t start = stream.offset();
  Bytes text(size);
  TACIT_TRY_VOID(stream.ReadExactly(text, "the NPY header"));
  LiteralParser parser(AsText(text));
  if (std::optional<NpyHeader> header = parser.Parse()) return *std::move(header);
  const std::size_t at = size - parser.rest().size();
  return Fail(ErrorCode::kMalformed, stream.name() + ":byte " + std::to_string(start + at) +
                                         ": expected {'descr': '...', 'fortran_order': False, 'shape': (...), }");
}

}  // namespace

Result<std::unique_ptr<RowReader>> OpenNpy(DataStream stream) {
  TACIT_TRY(const NpyHeader header, ReadHeader(stream));
  constexpr const char* kWhole = "a header that was read has all of its three keys";
  if (Present(header.fortran_order, kWhole)) {
    return stream.Malformed("rows one after another (C order)", "Fortran order; save numpy.ascontiguousarray(x)");
  }
  const std::string& descr = Present(header.descr, kWhole);
  const ElementType* element = FindElement(descr);
  if (element == nullptr) {
    return stream.Malformed("an element type of i1 u1 <i2 <u2 <i4 <u4 <i8 <f4 <f8", Excerpt(descr));
  }
  return ArrayRows(std::move(stream), *element, Present(header.shape, kWhole));
}

}  // namespace tacit::data
