#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/graph/onnx/model.h"

namespace tacit::onnx {

std::unexpected<Error> Unsupported(std::string what);

/// The attributes of one node as its operator reads them. Errors of all: kInvalidArgument where the attribute is of
/// another kind.
class Attributes {
 public:
  explicit Attributes(const NodeProto& node) : node_(node) {}

  [[nodiscard]] Result<std::int64_t> Int(std::string_view name, std::int64_t otherwise) const;
  [[nodiscard]] Result<float> Float(std::string_view name, float otherwise) const;
  [[nodiscard]] Result<std::string_view> Text(std::string_view name, std::string_view otherwise) const;
  /// Empty where it is not there.
  [[nodiscard]] Result<std::vector<std::int64_t>> Ints(std::string_view name) const;
  [[nodiscard]] bool Has(std::string_view name) const { return Find(name) != nullptr; }

  /// Fails for the attributes that no name of the list is of: what is not known could change what is computed.
  [[nodiscard]] Result<void> AreOf(std::initializer_list<std::string_view> names) const;

 private:
  [[nodiscard]] const AttributeProto* Find(std::string_view name) const;
  [[nodiscard]] Result<const AttributeProto*> Find(std::string_view name, AttributeProto::Kind kind) const;

  const NodeProto& node_;
};

/// An axis counted from the front. Errors: kInvalidArgument for one that there is not.
Result<std::size_t> AxisOf(std::int64_t axis, std::size_t rank);

}  // namespace tacit::onnx
