#include "edge_agent/serving/tensor_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <system_error>
#include <utility>

#include "common/base/text.h"

namespace tacit::serving {
namespace {

constexpr std::string_view kDataKey = "\"data\"";
// {"inputs": [{"data": ...: the outermost object, an array, an object.
constexpr std::size_t kDataDepth = 3;

bool IsSpace(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// Goes over a JSON text once, bracket by bracket and string by string.
class Splitter {
 public:
  explicit Splitter(std::string_view json) : json_(json) {}

  Result<SplitText> Split() {
    while (at_ < json_.size()) {
      TACIT_TRY_VOID(Step());
      if (out_.skeleton.size() > kLongestSkeleton) {
        return Fail(ErrorCode::kTooLarge, "the request's JSON has more than " + std::to_string(kLongestSkeleton) +
                                              " bytes beside the tensors");
      }
    }
    if (!open_.empty()) return Fail(ErrorCode::kMalformed, "the JSON ends within a bracket");
    return std::move(out_);
  }

 private:
  Result<void> Step() {
    const char c = json_[at_];
    if (c == '"') return TakeString();
    if (c == '{' || c == '[') return OpenBracket(c);
    if (c == '}' || c == ']') return CloseBracket(c);
    out_.skeleton += c;
    ++at_;
    return {};
  }

  Result<void> OpenBracket(char c) {
    if (open_.size() >= kMostNesting)
      return Fail(ErrorCode::kMalformed, "the JSON is nested deeper than " + std::to_string(kMostNesting));
    open_ += c;
    out_.skeleton += c;
    ++at_;
    return {};
  }

  Result<void> CloseBracket(char c) {
    if (open_.empty() || open_.back() != (c == '}' ? '{' : '['))
      return Fail(ErrorCode::kMalformed,
                  "the JSON closes a bracket at byte " + std::to_string(at_) + " that is not open");
    open_.pop_back();
    out_.skeleton += c;
    ++at_;
    return {};
  }

  Result<void> TakeString() {
    const std::size_t begin = at_;
    bool escaped = false;
    for (++at_; at_ < json_.size() && json_[at_] != '"'; ++at_) {
      if (json_[at_] != '\\') continue;
      escaped = true;
      ++at_;
    }
    if (at_ >= json_.size()) return Fail(ErrorCode::kMalformed, "the JSON ends within a string");
    const std::string_view text = json_.substr(begin, ++at_ - begin);
    out_.skeleton += text;
    return AfterString(text, escaped);
  }

  Result<void> AfterString(std::string_view text, bool escaped) {
    std::size_t next = SkipSpace(at_);
    if (next >= json_.size() || json_[next] != ':') return {};
    // A key that could be spelt in two ways could be taken for two.
    if (escaped) return Fail(ErrorCode::kMalformed, "a key of the JSON has an escape: write it without");
    if (text != kDataKey || open_.size() != kDataDepth) return {};
    next = SkipSpace(next + 1);
    if (next >= json_.size() || json_[next] != '[')
      return Fail(ErrorCode::kMalformed, "'data' at byte " + std::to_string(next) + " must be an array");
    return TakeArray(next);
  }

  // No string can stand in an array of numbers: brackets are all that has to be counted.
  Result<void> TakeArray(std::size_t begin) {
    std::size_t depth = 0;
    for (at_ = begin; at_ < json_.size(); ++at_) {
      if (json_[at_] == '[') ++depth;
      if (json_[at_] == '"') return Fail(ErrorCode::kMalformed, "'data' holds something else than numbers");
      if (json_[at_] == ']' && --depth == 0) break;
    }
    if (at_ >= json_.size()) return Fail(ErrorCode::kMalformed, "the JSON ends within 'data'");
    ++at_;
    out_.skeleton += ':' + std::to_string(out_.arrays.size());
    out_.arrays.push_back(json_.substr(begin, at_ - begin));
    return {};
  }

  [[nodiscard]] std::size_t SkipSpace(std::size_t at) const {
    while (at < json_.size() && IsSpace(json_[at])) ++at;
    return at;
  }

  std::string_view json_;
  std::size_t at_ = 0;
  std::string open_;
  SplitText out_;
};

// What JSON calls a number and from_chars takes more loosely. Source: RFC 8259, section 6.
bool IsJsonNumber(std::string_view text) {
  std::size_t at = text.starts_with('-') ? 1 : 0;
  const auto digits = [&] {
    const std::size_t begin = at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
    return at - begin;
  };
  const bool zero = at < text.size() && text[at] == '0';
  const std::size_t whole = digits();
  if (whole == 0 || (zero && whole > 1)) return false;
  if (at < text.size() && text[at] == '.') {
    ++at;
    if (digits() == 0) return false;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    if (digits() == 0) return false;
  }
  return at == text.size();
}

template <typename T>
bool Convert(std::string_view text, T& value) {
  const char* const begin = std::to_address(text.begin());
  const char* const end = begin + text.size();
  if constexpr (std::is_same_v<T, float>) {
    double wide = 0;
    const auto [stop, error] = std::from_chars(begin, end, wide);
    if (error != std::errc() || stop != end) return false;
    value = static_cast<float>(wide);
    return std::isfinite(value);
  } else {
    std::int64_t wide = 0;
    const auto [stop, error] = std::from_chars(begin, end, wide);
    if (error != std::errc() || stop != end) return false;
    value = static_cast<T>(wide);
    return wide >= std::numeric_limits<T>::min() && wide <= std::numeric_limits<T>::max();
  }
}

// Numbers in brackets, flat or as the shape nests them.
class NumberReader {
 public:
  NumberReader(std::string_view array, std::span<const std::int64_t> shape)
      : text_(array), shape_(shape), counts_(shape.size(), 0) {}

  template <typename T>
  Result<void> Read(std::span<std::uint8_t> into) {
    const std::size_t wanted = into.size() / sizeof(T);
    std::size_t filled = 0;
    TACIT_TRY_VOID(Begin());
    while (depth_ > 0) {
      TACIT_TRY(const std::string_view token, NextNumber());
      if (token.empty()) continue;
      T value{};
      if (!IsJsonNumber(token)) return Bad(token, "is not a number");
      if (!Convert(token, value)) return Bad(token, "is out of the range of the datatype, or no whole number");
      if (filled == wanted) return WrongCount(wanted);
      std::memcpy(into.data() + filled * sizeof(T), &value, sizeof(T));
      ++filled;
    }
    if (filled != wanted) return WrongCount(wanted);
    if (at_ != text_.size()) return Fail(ErrorCode::kMalformed, "'data' goes on behind its last bracket");
    return {};
  }

 private:
  // Nested where the first thing in the array is one.
  Result<void> Begin() {
    std::size_t at = 1;
    while (at < text_.size() && IsSpace(text_[at])) ++at;
    nested_ = shape_.size() > 1 && at < text_.size() && text_[at] == '[';
    levels_ = nested_ ? shape_.size() : 1;
    depth_ = 1;
    at_ = 1;
    return {};
  }

  // The next number, or an empty text after a bracket.
  Result<std::string_view> NextNumber() {
    SkipSpace();
    if (at_ >= text_.size()) return Fail(ErrorCode::kMalformed, "'data' ends within a bracket");
    const char c = text_[at_];
    if (c == ']') return Close();
    if (counts_[depth_ - 1] > 0) TACIT_TRY_VOID(TakeComma());
    if (at_ < text_.size() && text_[at_] == '[') return Open();
    if (depth_ != levels_) return Fail(ErrorCode::kInvalidArgument, "'data' is not nested as 'shape' says");
    ++counts_[depth_ - 1];
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != ']' && !IsSpace(text_[at_])) ++at_;
    const std::string_view token = text_.substr(begin, at_ - begin);
    if (token.empty()) return Fail(ErrorCode::kMalformed, "'data' has a comma with no number behind it");
    return token;
  }

  Result<std::string_view> Open() {
    if (depth_ == levels_) return Fail(ErrorCode::kInvalidArgument, "'data' is nested deeper than 'shape' says");
    ++counts_[depth_ - 1];
    counts_[depth_] = 0;
    ++depth_;
    ++at_;
    return std::string_view();
  }

  Result<std::string_view> Close() {
    --depth_;
    if (nested_ && counts_[depth_] != shape_[depth_]) {
      return Fail(ErrorCode::kInvalidArgument, "'data' has an array of " + std::to_string(counts_[depth_]) +
                                                   " where 'shape' says " + std::to_string(shape_[depth_]));
    }
    ++at_;
    return std::string_view();
  }

  Result<void> TakeComma() {
    if (text_[at_] != ',') return Fail(ErrorCode::kMalformed, "'data' lacks a comma at byte " + std::to_string(at_));
    ++at_;
    SkipSpace();
    return {};
  }

  void SkipSpace() {
    while (at_ < text_.size() && IsSpace(text_[at_])) ++at_;
  }
  static std::unexpected<Error> Bad(std::string_view token, std::string_view what) {
    return Fail(ErrorCode::kInvalidArgument, "'data' holds " + Excerpt(token) + ", which " + std::string(what));
  }
  static std::unexpected<Error> WrongCount(std::size_t wanted) {
    return Fail(ErrorCode::kInvalidArgument,
                "'data' does not hold the " + std::to_string(wanted) + " numbers of 'shape'");
  }

  std::string_view text_;
  std::span<const std::int64_t> shape_;
  std::vector<std::int64_t> counts_;  // how many each open array has so far
  std::size_t at_ = 0;
  std::size_t depth_ = 0;
  std::size_t levels_ = 1;
  bool nested_ = false;
};

template <typename T>
bool AppendAll(ByteSpan elements, std::string& json) {
  std::array<char, 32> text{};
  for (std::size_t at = 0; at + sizeof(T) <= elements.size(); at += sizeof(T)) {
    T value{};
    std::memcpy(&value, elements.data() + at, sizeof(T));
    if constexpr (std::is_same_v<T, float>) {
      if (!std::isfinite(value)) return false;
    }
    const auto end = [&] {
      if constexpr (sizeof(T) == 1)
        return std::to_chars(text.data(), text.data() + text.size(), int{value}).ptr;
      else
        return std::to_chars(text.data(), text.data() + text.size(), value).ptr;
    }();
    if (at > 0) json += ',';
    json.append(text.data(), end);
  }
  return true;
}

}  // namespace

Result<SplitText> SplitTensors(std::string_view json) {
  return Splitter(json).Split();
}

Result<void> ReadNumbers(std::string_view array, graph::Element element, std::span<const std::int64_t> shape,
                         std::span<std::uint8_t> into) {
  if (array.size() < 2 || array.front() != '[' || shape.empty())
    return Fail(ErrorCode::kMalformed, "'data' must be an array");
  NumberReader reader(array, shape);
  switch (element) {
    case graph::Element::kFloat32:
      return reader.Read<float>(into);
    case graph::Element::kInt8:
      return reader.Read<std::int8_t>(into);
    case graph::Element::kUint8:
      return reader.Read<std::uint8_t>(into);
    case graph::Element::kInt32:
      return reader.Read<std::int32_t>(into);
  }
  return Fail(ErrorCode::kInternal, "an element that there is not");
}

Result<void> AppendNumbers(ByteSpan elements, graph::Element element, std::string& json) {
  json += '[';
  const bool finite = element == graph::Element::kFloat32 ? AppendAll<float>(elements, json)
                      : element == graph::Element::kInt8  ? AppendAll<std::int8_t>(elements, json)
                      : element == graph::Element::kUint8 ? AppendAll<std::uint8_t>(elements, json)
                                                          : AppendAll<std::int32_t>(elements, json);
  json += ']';
  if (finite) return {};
  return Fail(ErrorCode::kDataLoss,
              "the model computed a number that is not finite, which JSON cannot say: ask for binary data");
}

}  // namespace tacit::serving
