#include "common/graph/onnx/attributes.h"

#include <algorithm>
#include <utility>

#include "common/base/text.h"

namespace tacit::onnx {

std::unexpected<Error> Unsupported(std::string what) {
  return Fail(ErrorCode::kInvalidArgument, std::move(what));
}

const AttributeProto* Attributes::Find(std::string_view name) const {
  const auto found = std::ranges::find(node_.attributes, name, &AttributeProto::name);
  return found == node_.attributes.end() ? nullptr : &*found;
}

Result<const AttributeProto*> Attributes::Find(std::string_view name, AttributeProto::Kind kind) const {
  const AttributeProto* attribute = Find(name);
  if (attribute == nullptr || attribute->kind == kind) return attribute;
  return Unsupported("attribute " + Excerpt(name) + " is of another type than in ONNX");
}

Result<std::int64_t> Attributes::Int(std::string_view name, std::int64_t otherwise) const {
  TACIT_TRY(const AttributeProto* attribute, Find(name, AttributeProto::Kind::kInt));
  return attribute == nullptr ? otherwise : attribute->i;
}

Result<float> Attributes::Float(std::string_view name, float otherwise) const {
  TACIT_TRY(const AttributeProto* attribute, Find(name, AttributeProto::Kind::kFloat));
  return attribute == nullptr ? otherwise : attribute->f;
}

Result<std::string_view> Attributes::Text(std::string_view name, std::string_view otherwise) const {
  TACIT_TRY(const AttributeProto* attribute, Find(name, AttributeProto::Kind::kText));
  return attribute == nullptr ? otherwise : attribute->s;
}

Result<std::vector<std::int64_t>> Attributes::Ints(std::string_view name) const {
  TACIT_TRY(const AttributeProto* attribute, Find(name, AttributeProto::Kind::kInts));
  return attribute == nullptr ? std::vector<std::int64_t>() : attribute->ints;
}

Result<void> Attributes::AreOf(std::initializer_list<std::string_view> names) const {
  for (const AttributeProto& attribute : node_.attributes) {
    if (std::ranges::find(names, attribute.name) == names.end()) {
      return Unsupported("attribute " + Excerpt(attribute.name) + " is none that this reader has for the operator");
    }
  }
  return {};
}

Result<std::size_t> AxisOf(std::int64_t axis, std::size_t rank) {
  const auto dimensions = static_cast<std::int64_t>(rank);
  if (axis < -dimensions || axis >= dimensions) {
    return Unsupported("axis " + std::to_string(axis) + " is none of " + std::to_string(rank) + " dimensions");
  }
  return static_cast<std::size_t>(axis < 0 ? axis + dimensions : axis);
}

}  // namespace tacit::onnx
