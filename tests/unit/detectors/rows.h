#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/model/spec.h"

// A model of three classes, and rows of them in a file.
namespace tacit::detectors::testing {

inline model::ModelSpec SomeModel() {
  return *model::ModelSpec::Create({.inputs = 4, .hidden = {8}, .classes = 3});
}

/// Rows of small numbers, with or without a class behind them.
inline void WriteRows(const std::filesystem::path& file, std::size_t count, bool with_labels) {
  SplitMix64 random(5);
  std::ofstream out(file);
  for (std::size_t row = 0; row < count; ++row) {
    const std::uint64_t label = random.Below(3);
    for (int i = 0; i < 4; ++i) {
      double noise = -3;
      for (int k = 0; k < 6; ++k) noise += random.Uniform();
      out << (i > 0 ? "," : "") << static_cast<double>(label) * (i % 2 == 0 ? 1 : -1) + 0.3 * noise;
    }
    if (with_labels) out << ',' << label;
    out << '\n';
  }
}

inline void WriteText(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file) << text;
}

}  // namespace tacit::detectors::testing
