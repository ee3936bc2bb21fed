// Writes model.safetensors and model.npz into the directory named by the only argument, for check_model_samples.py.
#include <fstream>
#include <string>

#include "common/model/export.h"

namespace {

bool Write(const std::string& path, const tacit::Bytes& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return file.good();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string directory = argv[1];
  const auto spec = tacit::model::ModelSpec::Create({.inputs = 5, .hidden = {4, 3}, .classes = 2});
  std::vector<float> parameters(spec->ParameterCount());
  for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i] = 0.25F * static_cast<float>(i) - 3.0F;
  const tacit::model::Metadata metadata = {{"task", "a \"quoted\" name"}, {"epsilon", "1.5"}};
  const bool good = Write(directory + "/model.safetensors", tacit::model::ToSafetensors(*spec, parameters, metadata)) &&
                    Write(directory + "/model.npz", tacit::model::ToNpz(*spec, parameters, metadata));
  return good ? 0 : 1;
}
