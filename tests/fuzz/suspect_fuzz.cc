#include <algorithm>
#include <cmath>

#include "common/graph/from_spec.h"
#include "server/ownership/suspect.h"
#include "server/ownership/trace.h"
#include "tests/fuzz/fuzz.h"

namespace {

const tacit::model::ModelSpec& Spec() {
  static const auto kSpec = *tacit::model::ModelSpec::Create({.inputs = 3, .hidden = {4}, .classes = 2});
  return kSpec;
}

const tacit::graph::OwnedGraph& Master() {
  static const auto kMaster = tacit::graph::FromSpec(Spec(), Spec().InitialParameters(1));
  return kMaster;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto suspect = tacit::ownership::Suspect::Read({data, size});
  if (!suspect) return 0;
  const auto parameters = suspect->ParametersAs(Spec());
  TACIT_CHECK(!parameters || parameters->size() == Spec().ParameterCount(), "one number a parameter");
  const auto likeness = tacit::ownership::Compare({Master().graph, Master().bytes()}, suspect->View());
  if (!likeness) return 0;
  const auto key = *tacit::crypto::SecretKey::FromBytes(tacit::Bytes(tacit::crypto::SecretKey::kSize, 1));
  const auto score = tacit::ownership::ScoreOf(*likeness, key);
  TACIT_CHECK(score.log_p <= 0 && score.in_order <= score.places && score.match() <= 1, "a bound and shares");
  return 0;
}
