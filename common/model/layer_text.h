#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/model/layers.h"

namespace tacit::model {

/// A layer as it is written, for rows of a signal, whose windows have a width only, or for others. Ranges and shapes
/// are not looked at. Errors: kInvalidArgument, with the word that is wrong and the form of such a layer.
Result<Layer> ReadLayer(std::string_view text, bool of_signal);

/// The shortest text that ReadLayer reads as this layer.
[[nodiscard]] std::string WriteLayer(const Layer& layer, bool of_signal);

}  // namespace tacit::model
