#pragma once

#include <cstddef>
#include <cstdint>

#include "common/graph/graph.h"

namespace tacit::inference {

/// A parameter of a model, which does not depend on the rows: floats, or integers with scales, where they lie among the
/// weights.
struct Constant {
  graph::Element element = graph::Element::kFloat32;
  const std::uint8_t* data = nullptr;
  std::size_t count = 0;
  const float* scales = nullptr;          ///< Null of floats.
  const std::uint8_t* zeros = nullptr;    ///< Of the element of `data`.
  std::size_t places = 1;                 ///< Scales that there are.
  std::size_t inner = 1;                  ///< Numbers from one scale's to the next one's.
  std::size_t first_dimension_inner = 1;  ///< Numbers of one place of the first dimension.

  [[nodiscard]] const float* floats() const {
    return scales == nullptr ? reinterpret_cast<const float*>(data) : nullptr;
  }
  /// Number i of it, scaled.
  [[nodiscard]] float At(std::size_t i) const;
  /// Before scaling, its zero point subtracted.
  [[nodiscard]] std::int32_t IntegerAt(std::size_t i) const;
  [[nodiscard]] float ScaleAt(std::size_t i) const { return scales[places == 1 ? 0 : i / inner % places]; }
  /// Whether it is of 8 bits that count from zero as signed bytes, in the same unit all over a place of the first
  /// dimension.
  [[nodiscard]] bool IsSignedBytes() const;
};

/// Of a constant, or of what DequantizeLinear makes of one. Shape: a graph that Check takes, and a value of it without
/// rows.
Constant ConstantOf(const graph::GraphView& model, graph::ValueId id);

}  // namespace tacit::inference
