#include "common/model/export.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto model = tacit::model::ParseSafetensors({data, size});
  if (!model) return 0;
  TACIT_CHECK(model->parameters.size() == model->spec.ParameterCount(), "one number a parameter");
  TACIT_CHECK(model->parameters.size() * sizeof(float) < size, "no memory beyond what was sent");
  const auto again =
      tacit::model::ParseSafetensors(tacit::model::ToSafetensors(model->spec, model->parameters, model->metadata));
  TACIT_CHECK(again.has_value() && again->metadata == model->metadata, "a model that was read can be written and read");
  return 0;
}
