#include "common/graph/onnx/windows.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/text.h"
#include "common/graph/shapes.h"

namespace tacit::onnx {
namespace {

// One number for each dimension of space, or each twice.
Result<std::vector<std::uint32_t>> Numbers(const Attributes& attributes, std::string_view name,
                                           std::vector<std::int64_t> otherwise) {
  TACIT_TRY(std::vector<std::int64_t> numbers, attributes.Ints(name));
  if (numbers.empty())
    numbers = std::move(otherwise);
  else if (numbers.size() != otherwise.size()) {
    return Unsupported("attribute " + Excerpt(name) + " has " + std::to_string(numbers.size()) + " numbers, not " +
                       std::to_string(otherwise.size()));
  }
  std::vector<std::uint32_t> checked;
  for (const std::int64_t number : numbers) {
    if (number < 0 || number > graph::kMaxAttribute) {
      return Unsupported("attribute " + Excerpt(name) + " has the number " + std::to_string(number));
    }
    checked.push_back(static_cast<std::uint32_t>(number));
  }
  return checked;
}

struct Padding {
  std::int64_t before = 0;
  std::int64_t behind = 0;
};

// So much that there are length / stride windows, rounded up. Source: ONNX, Conv, auto_pad.
Padding SamePadding(const graph::Window& window, std::int64_t length, bool more_in_front) {
  const std::int64_t places = (length + window.stride - 1) / window.stride;
  const std::int64_t total = std::max<std::int64_t>((places - 1) * window.stride + window.Extent() - length, 0);
  const std::int64_t half = total / 2;
  return more_in_front ? Padding{.before = total - half, .behind = half}
                       : Padding{.before = half, .behind = total - half};
}

Padding PaddingOf(std::string_view auto_pad, const graph::Window& window, std::int64_t length, Rounding rounding) {
  if (auto_pad == "VALID") return {};
  if (auto_pad != "NOTSET") return SamePadding(window, length, auto_pad == "SAME_LOWER");
  Padding padding{.before = window.pad_before, .behind = window.pad_behind};
  const std::int64_t room = length + padding.before + padding.behind - window.Extent();
  if (rounding == Rounding::kUp && room > 0 && room % window.stride != 0) {
    padding.behind += window.stride - room % window.stride;
  }
  return padding;
}

}  // namespace

Result<graph::Attributes> ReadWindows(const Attributes& attributes, const graph::Shape& input,
                                      std::span<const std::int64_t> kernel, Rounding rounding) {
  const std::size_t space = kernel.size();
  if (space < 1 || space > 2 || input.size() != space + 2) {
    return Unsupported("the input has shape " + graph::TextOf(input) + " and the kernel " + std::to_string(space) +
                       " dimensions; this reader has one and two dimensions of space");
  }
  const std::vector<std::int64_t> ones(space, 1);
  TACIT_TRY(const auto sizes, Numbers(attributes, "kernel_shape", {kernel.begin(), kernel.end()}));
  if (!std::ranges::equal(sizes, kernel)) return Unsupported("attribute 'kernel_shape' is not that of the weight");
  TACIT_TRY(const auto strides, Numbers(attributes, "strides", ones));
  TACIT_TRY(const auto dilations, Numbers(attributes, "dilations", ones));
  TACIT_TRY(const auto pads, Numbers(attributes, "pads", std::vector<std::int64_t>(2 * space, 0)));
  TACIT_TRY(const std::string_view auto_pad, attributes.Text("auto_pad", "NOTSET"));
  if (auto_pad != "NOTSET" && auto_pad != "VALID" && auto_pad != "SAME_UPPER" && auto_pad != "SAME_LOWER") {
    return Unsupported("attribute 'auto_pad' is " + Excerpt(auto_pad));
  }
  if (auto_pad != "NOTSET" && rounding == Rounding::kUp) return Unsupported("auto_pad and ceil_mode together");
  graph::Attributes result;
  for (std::size_t i = 0; i < space; ++i) {
    const std::size_t to = i + 2 - space;
    if (sizes[i] == 0 || strides[i] == 0 || dilations[i] == 0) return Unsupported("a kernel, stride or dilation is 0");
    const graph::Window window{.kernel = sizes[i],
                               .stride = strides[i],
                               .dilation = dilations[i],
                               .pad_before = pads[i],
                               .pad_behind = pads[i + space]};
    const Padding padding = PaddingOf(auto_pad, window, input[i + 2], rounding);
    result.kernel[to] = sizes[i];
    result.strides[to] = strides[i];
    result.dilations[to] = dilations[i];
    result.pads[to] = static_cast<std::uint32_t>(padding.before);
    result.pads[to + 2] = static_cast<std::uint32_t>(padding.behind);
  }
  return result;
}

}  // namespace tacit::onnx
