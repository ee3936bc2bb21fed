#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "edge_agent/inference/kernels.h"

namespace tacit::inference {

/// Whether a matrix lies in memory as it is meant, row after row, or with rows and columns exchanged.
enum class Orientation : std::uint8_t { kAsIs, kTransposed };

/// An input of a product.
struct GemmInput {
  const float* data = nullptr;
  std::size_t stride = 0;  ///< Floats from one row in memory to the next.
  Orientation orientation = Orientation::kAsIs;
};

/// What becomes of what is in the output before.
enum class GemmOutput : std::uint8_t { kReplace, kAdd };

/// c [m, n] = a [m, k] b [k, n], or += it.
struct Gemm {
  std::size_t m = 0;
  std::size_t n = 0;
  std::size_t k = 0;
  GemmInput a = {};
  GemmInput b = {};
  float* c = nullptr;
  std::size_t c_stride = 0;  ///< Floats from one row to the next.
  GemmOutput output = GemmOutput::kReplace;
};

/// Floats that a product needs beside its matrices, whatever its size.
inline constexpr std::size_t kGemmScratch = 256 * 256 + 256 * kTileRows;

/// Computes it on one thread with the vectors that this processor has. A k of 0 gives zeros. Shape: `scratch` holds
/// kGemmScratch floats, and parts of both inputs afterwards; it and the matrices may begin anywhere, but c overlaps
/// none of them.
void Multiply(const Gemm& gemm, std::span<float> scratch);
/// The same with kernels of one's choice.
void Multiply(const Gemm& gemm, std::span<float> scratch, const Kernels& kernels);

}  // namespace tacit::inference
