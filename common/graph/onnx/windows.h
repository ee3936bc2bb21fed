#pragma once

#include <cstdint>
#include <span>

#include "common/base/result.h"
#include "common/graph/graph.h"
#include "common/graph/onnx/attributes.h"

namespace tacit::onnx {

/// What becomes of places that are too few for one more window.
enum class Rounding : std::uint8_t {
  kDown,  ///< They are left out.
  kUp,    ///< The padding is made longer by what is missing; a pool's ceil_mode.
};

/// Kernel, strides, dilations and pads of a convolution or pool over `input`, with a kernel of these lengths: explicit
/// ones or those that auto_pad stands for. Errors: kInvalidArgument, naming the attribute.
Result<graph::Attributes> ReadWindows(const Attributes& attributes, const graph::Shape& input,
                                      std::span<const std::int64_t> kernel, Rounding rounding);

}  // namespace tacit::onnx
