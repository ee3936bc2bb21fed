#include "common/model/layer_text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "common/base/text.h"

namespace tacit::model {
namespace {

// Longer than any layer that is taken.
constexpr std::size_t kMaxLayerText = 200;

struct Form {
  LayerKind kind;
  std::string_view name;
  std::string_view usage;
};

constexpr std::array kForms = {
    Form{LayerKind::kDense, "dense", "dense N"},
    Form{LayerKind::kConv, "conv", "conv N KxK [stride S] [pad P] [groups G]"},
    Form{LayerKind::kMaxPool, "max-pool", "max-pool K [stride S] [pad P]"},
    Form{LayerKind::kAveragePool, "average-pool", "average-pool K [stride S] [pad P]"},
    Form{LayerKind::kGlobalAveragePool, "global-average-pool", "global-average-pool"},
    Form{LayerKind::kRelu, "relu", "relu"},
    Form{LayerKind::kRelu6, "relu6", "relu6"},
    Form{LayerKind::kTanh, "tanh", "tanh"},
    Form{LayerKind::kSigmoid, "sigmoid", "sigmoid"},
    Form{LayerKind::kFlatten, "flatten", "flatten"},
};

const Form& FormOf(LayerKind kind) {
  return kForms.at(static_cast<std::size_t>(kind));
}

std::vector<std::string_view> WordsIn(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (end > 0) words.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

std::optional<std::uint32_t> NumberIn(std::string_view word) {
  const std::optional<std::uint64_t> number = ParseWhole(word);
  if (!number || *number > std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
  return static_cast<std::uint32_t>(*number);
}

// "3x2", or "3" for "3x3"; over a signal only the width is written, and the height stays as it is.
std::optional<Extent> ExtentIn(std::string_view word, bool of_signal, const Extent& initial) {
  const std::size_t cross = word.find('x');
  const auto width = NumberIn(cross == std::string_view::npos ? word : word.substr(cross + 1));
  if (!width) return std::nullopt;
  if (cross == std::string_view::npos) return of_signal ? Extent{initial[0], *width} : Extent{*width, *width};
  const auto height = NumberIn(word.substr(0, cross));
  if (!height || of_signal) return std::nullopt;
  return Extent{*height, *width};
}

// Reads the words of one layer from the first to the last.
class LayerWords {
 public:
  LayerWords(std::string_view text, std::span<const std::string_view> words, bool of_signal)
      : text_(text), words_(words), of_signal_(of_signal) {}

  Result<Layer> Read(LayerKind kind) {
    Layer layer{.kind = kind};
    if (kind == LayerKind::kDense || kind == LayerKind::kConv) {
      const auto outputs = at_ < words_.size() ? NumberIn(words_[at_]) : std::nullopt;
      if (!outputs) return Wrong(kind);
      layer.outputs = *outputs;
      ++at_;
    }
    if (kind == LayerKind::kConv || IsPool(kind)) {
      if (!TakeExtent(layer.kernel)) return Wrong(kind);
      if (IsPool(kind)) layer.stride = layer.kernel;
      if (!TakeOptions(layer)) return Wrong(kind);
    }
    if (at_ != words_.size()) return Wrong(kind);
    return layer;
  }

 private:
  [[nodiscard]] std::unexpected<Error> Wrong(LayerKind kind) const {
    const std::string found = at_ < words_.size() ? Excerpt(words_[at_]) + " is wrong" : "something is missing";
    return Fail(ErrorCode::kInvalidArgument, "in " + Excerpt(text_) + " " + found + "; the form is \"" +
                                                 std::string(FormOf(kind).usage) + "\"" +
                                                 (of_signal_ ? ", with one number a window over a signal" : ""));
  }

  bool TakeExtent(Extent& extent) {
    const auto found = at_ < words_.size() ? ExtentIn(words_[at_], of_signal_, extent) : std::nullopt;
    if (!found) return false;
    extent = *found;
    ++at_;
    return true;
  }

  // Each at most once, in any order.
  bool TakeOptions(Layer& layer) {
    std::set<std::string_view> seen;
    while (at_ < words_.size()) {
      const std::string_view name = words_[at_];
      if (!seen.insert(name).second || !TakeOption(name, layer)) return false;
    }
    return true;
  }

  bool TakeOption(std::string_view name, Layer& layer) {
    const bool of_groups = name == "groups" && layer.kind == LayerKind::kConv;
    if (name != "stride" && name != "pad" && !of_groups) return false;
    ++at_;
    if (of_groups) return TakeGroups(layer);
    return TakeExtent(name == "stride" ? layer.stride : layer.pad);
  }

  bool TakeGroups(Layer& layer) {
    const auto groups = at_ < words_.size() ? NumberIn(words_[at_]) : std::nullopt;
    if (!groups) return false;
    layer.groups = *groups;
    ++at_;
    return true;
  }

  std::string_view text_;
  std::span<const std::string_view> words_;
  bool of_signal_;
  std::size_t at_ = 0;
};

std::string WriteExtent(const Extent& extent, bool of_signal) {
  const std::string width = std::to_string(extent[1]);
  return of_signal || extent[0] == extent[1] ? width : std::to_string(extent[0]) + "x" + width;
}

}  // namespace

std::string_view NameOf(LayerKind kind) {
  return FormOf(kind).name;
}

Result<Layer> ReadLayer(std::string_view text, bool of_signal) {
  const std::vector<std::string_view> words = WordsIn(text.substr(0, kMaxLayerText));
  const std::string_view name = words.empty() ? std::string_view() : words.front();
  std::vector<std::string> names;
  for (const Form& form : kForms) {
    names.emplace_back(form.name);
    if (form.name != name) continue;
    if (text.size() > kMaxLayerText)
      return Fail(ErrorCode::kInvalidArgument, Excerpt(text) + " is too long for a layer");
    return LayerWords(text, std::span(words).subspan(1), of_signal).Read(form.kind);
  }
  std::string known;
  for (const std::string& each : names) known += (known.empty() ? "" : ", ") + each;
  return Fail(ErrorCode::kInvalidArgument,
              Excerpt(name) + " is no layer" + DidYouMean(name, names) + "; known: " + known);
}

std::string WriteLayer(const Layer& layer, bool of_signal) {
  const Layer initial;
  std::string text(NameOf(layer.kind));
  if (layer.kind == LayerKind::kDense) return text + " " + std::to_string(layer.outputs);
  if (layer.kind == LayerKind::kConv) {
    text += " " + std::to_string(layer.outputs) + " ";
    text += of_signal ? std::to_string(layer.kernel[1])
                      : std::to_string(layer.kernel[0]) + "x" + std::to_string(layer.kernel[1]);
  }
  if (IsPool(layer.kind)) text += " " + WriteExtent(layer.kernel, of_signal);
  const Extent& usual = IsPool(layer.kind) ? layer.kernel : initial.stride;
  if (layer.stride != usual) text += " stride " + WriteExtent(layer.stride, of_signal);
  if (layer.pad != initial.pad) text += " pad " + WriteExtent(layer.pad, of_signal);
  if (layer.groups != initial.groups) text += " groups " + std::to_string(layer.groups);
  return text;
}

}  // namespace tacit::model
