// What a mark costs and outlives, and whom a copy names: on two real data sets, with the attacks that docs/EDGE.md
// lists. Prints one row of JSON a line.
//
// Environment: TACIT_SHARED_DIR, the directory with data/har and data/fashion-mnist.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/graph/file.h"
#include "common/graph/from_spec.h"
#include "edge_agent/data/dataset.h"
#include "edge_agent/training/trainer.h"
#include "server/ownership/obfuscate.h"
#include "server/ownership/suspect.h"
#include "server/ownership/trace.h"
#include "server/ownership/watermark.h"

namespace tacit {
namespace {

namespace fs = std::filesystem;
using Parameters = std::vector<float>;

constexpr std::size_t kClients = 10;
constexpr std::size_t kRounds = 10;
constexpr std::size_t kTrainRows = 20'000;  // of what a data set has, at most
constexpr std::size_t kModels = 20;
constexpr std::size_t kRuns = 3;  // of a federation, each with seeds of its own
constexpr std::size_t kDevices = 10'000;
constexpr std::size_t kSource = 4711;  // the device whose copy leaks

template <typename T>
T Take(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "edge_ownership: %s\n", result.error().message.c_str());
    std::exit(1);
  }
  return *std::move(result);
}

struct Goal {
  std::string text;
  bool holds = false;
};

void Print(const std::string& name, double value, const char* unit, const std::optional<Goal>& goal = {}) {
  nlohmann::ordered_json row = {{"name", "ownership/" + name},
                                {"value", value},
                                {"unit", unit},
                                {"baseline", nullptr},
                                {"ratio", nullptr},
                                {"goal", nullptr},
                                {"holds", nullptr}};
  if (goal) {
    row["goal"] = goal->text;
    row["holds"] = goal->holds;
  }
  std::printf("%s\n", row.dump().c_str());
  std::fflush(stdout);
}

Goal AtLeast(double value, double limit) {
  return {">= " + nlohmann::json(limit).dump(), value >= limit};
}
Goal Below(double value, double limit) {
  return {"< " + nlohmann::json(limit).dump(), value < limit};
}

/// A model, the data it is trained on and tested with, and the rules of its mark.
struct Scene {
  std::string name;
  model::ModelSpec model;
  data::Dataset train;
  data::Dataset test;
  training::TrainingOptions options;
  task::Watermark rules;
};

data::Dataset Load(data::DataSource source, double scale) {
  source.scale = scale;
  data::Dataset dataset = Take(data::LoadDataset(source));
  dataset.rows = std::min(dataset.rows, kTrainRows);
  dataset.x.resize(dataset.rows * dataset.features);
  dataset.y.resize(dataset.rows);
  return dataset;
}

Scene Fashion(const fs::path& shared) {
  const fs::path directory = shared / "data/fashion-mnist";
  const auto load = [&](const std::string& split) {
    return Load({.features = directory / (split + "-images-idx3-ubyte.gz"),
                 .labels = directory / (split + "-labels-idx1-ubyte.gz"),
                 .classes = data::LabelRange{.first = 0, .classes = 10}},
                1.0 / 255);
  };
  return {.name = "fashion-mnist",
          .model = Take(model::ModelSpec::Create({.inputs = 784, .hidden = {128}, .classes = 10})),
          .train = load("train"),
          .test = load("t10k"),
          .options = {.epochs = 1, .batch_size = 32, .learning_rate = 0.02, .momentum = 0.9},
          .rules = {.triggers = 100, .input_min = 0, .input_max = 1, .steps = 100, .learning_rate = 1e-3}};
}

Scene Activities(const fs::path& shared) {
  const auto load = [&](data::Split split) {
    return Take(data::LoadDataset(data::SourceOf({.directory = shared / "data/har", .split = split})));
  };
  return {.name = "har",
          .model = Take(model::ModelSpec::Create({.inputs = 561, .hidden = {128}, .classes = 6})),
          .train = load(data::Split::kTrain),
          .test = load(data::Split::kTest),
          .options = {.epochs = 1, .batch_size = 32, .learning_rate = 0.02, .momentum = 0.9},
          .rules = {.triggers = 100, .input_min = -1, .input_max = 1, .steps = 100, .learning_rate = 1e-3}};
}

double Accuracy(const Scene& scene, const Parameters& parameters) {
  return Take(training::Evaluate(scene.model, parameters, scene.test)).accuracy;
}

/// Every `step`-th row, from `first` on.
std::vector<std::uint32_t> RowsOf(const data::Dataset& data, std::size_t first, std::size_t step) {
  std::vector<std::uint32_t> rows;
  for (std::size_t row = first; row < data.rows; row += step) rows.push_back(static_cast<std::uint32_t>(row));
  return rows;
}

Parameters Descend(const Scene& scene, const data::Dataset& data, Parameters start,
                   const std::vector<std::uint32_t>& rows, training::TrainingOptions options, std::uint64_t seed) {
  training::Trainer trainer = Take(training::Trainer::Create(scene.model, data, options));
  const training::Trained trained = Take(trainer.Train(start, rows, seed));
  for (std::size_t i = 0; i < start.size(); ++i) start[i] += trained.delta[i];
  return start;
}

struct Federation {
  Parameters parameters;
  double mark_seconds = 0;
  std::uint32_t mark_steps = 0;  // of the last round
};

/// Rounds of all clients, with or without a mark after each: as the server does it.
Federation Federate(const Scene& scene, const ownership::Triggers* triggers, std::size_t run) {
  Federation federation{.parameters = scene.model.InitialParameters(run)};
  training::Trainer trainer = Take(training::Trainer::Create(scene.model, scene.train, scene.options));
  for (std::size_t round = 0; round < kRounds; ++round) {
    std::vector<double> sum(federation.parameters.size());
    for (std::size_t client = 0; client < kClients; ++client) {
      const auto rows = RowsOf(scene.train, client, kClients);
      const auto trained =
          Take(trainer.Train(federation.parameters, rows, (run * kRounds + round) * kClients + client));
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(trained.delta[i]);
    }
    for (std::size_t i = 0; i < sum.size(); ++i)
      federation.parameters[i] += static_cast<float>(sum[i] / static_cast<double>(kClients));
    if (triggers == nullptr) continue;
    const auto began = std::chrono::steady_clock::now();
    federation.mark_steps = ownership::Embed(scene.model, scene.rules, *triggers, federation.parameters).steps;
    federation.mark_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  }
  return federation;
}

// ---- What an attacker does ----

Parameters ToEightBits(const model::ModelSpec& model, Parameters parameters) {
  for (const model::Tensor& tensor : model.Tensors()) {
    const auto part = std::span(parameters).subspan(tensor.offset, tensor.size());
    float most = 0;
    for (const float each : part) most = std::max(most, std::abs(each));
    for (float& each : part) each = std::round(each / most * 127) * most / 127;
  }
  return parameters;
}

/// Without the smallest weights of each layer.
Parameters Pruned(const model::ModelSpec& model, Parameters parameters, double share) {
  for (const model::Tensor& tensor : model.Tensors()) {
    if (tensor.shape.size() != 2) continue;
    const auto part = std::span(parameters).subspan(tensor.offset, tensor.size());
    std::vector<float> sizes;
    for (const float each : part) sizes.push_back(std::abs(each));
    const auto at = sizes.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(sizes.size()));
    std::ranges::nth_element(sizes, at);
    const float limit = *at;
    for (float& each : part)
      if (std::abs(each) < limit) each = 0;
  }
  return parameters;
}

/// With a tenth of the data, for 30 epochs.
Parameters FineTuned(const Scene& scene, Parameters parameters, double learning_rate) {
  training::TrainingOptions options = scene.options;
  options.epochs = 30;
  options.learning_rate = learning_rate;
  return Descend(scene, scene.train, std::move(parameters), RowsOf(scene.train, 3, 10), options, 77);
}

Parameters Noisy(const model::ModelSpec& model, Parameters parameters, double share) {
  SplitMix64 random(5);
  for (const model::Tensor& tensor : model.Tensors()) {
    const auto part = std::span(parameters).subspan(tensor.offset, tensor.size());
    double square = 0;
    for (const float each : part) square += static_cast<double>(each) * static_cast<double>(each);
    // A uniform number has a standard deviation of 1 / sqrt(12).
    const double spread = share * std::sqrt(12 * square / static_cast<double>(part.size()));
    for (float& each : part) each += static_cast<float>(spread * (random.Uniform() - 0.5));
  }
  return parameters;
}

std::vector<double> LogitsOf(const model::ModelSpec& model, const Parameters& parameters, std::span<const float> x) {
  std::vector<double> values(x.begin(), x.end());
  const std::vector<model::Tensor> tensors = model.Tensors();
  for (std::size_t i = 0; i < tensors.size(); i += 2) {
    std::vector<double> next(tensors[i].shape[0]);
    for (std::size_t row = 0; row < next.size(); ++row) {
      const float* weight = &parameters[tensors[i].offset + row * values.size()];
      // In float, as an engine does it.
      float sum = parameters[tensors[i + 1].offset + row];
      for (std::size_t k = 0; k < values.size(); ++k) sum += weight[k] * static_cast<float>(values[k]);
      next[row] = i + 2 < tensors.size() ? std::max(0.0, static_cast<double>(sum)) : static_cast<double>(sum);
    }
    values = std::move(next);
  }
  return values;
}

/// A model of its own, taught what `teacher` answers to a tenth of the data.
Parameters Distilled(const Scene& scene, const Parameters& teacher) {
  data::Dataset asked = scene.train;
  const auto rows = RowsOf(scene.train, 3, 10);
  for (const std::uint32_t row : rows) {
    const auto logits =
        LogitsOf(scene.model, teacher, std::span(asked.x).subspan(row * asked.features, asked.features));
    asked.y[row] = static_cast<std::uint32_t>(std::ranges::max_element(logits) - logits.begin());
  }
  training::TrainingOptions options = scene.options;
  options.epochs = 30;
  return Descend(scene, asked, scene.model.InitialParameters(99), rows, options, 78);
}

// ---- The mark ----

void ReportNull(const Scene& scene, const ownership::Triggers& triggers) {
  training::TrainingOptions options = scene.options;
  options.epochs = 5;
  double most = 0;
  double sum = 0;
  for (std::size_t i = 0; i < kModels; ++i) {
    const auto rows = RowsOf(scene.train, i % 5, 5);
    const Parameters model =
        Descend(scene, scene.train, scene.model.InitialParameters(1000 + i), rows, options, 1000 + i);
    const double rate = static_cast<double>(ownership::CountMatches(scene.model, model, triggers)) /
                        static_cast<double>(triggers.y.size());
    most = std::max(most, rate);
    sum += rate;
  }
  Print(scene.name + "/independent models, mean match", sum / kModels * 100, "%");
  Print(scene.name + "/independent models, largest match of 20", most * 100, "%", Below(most * 100, 20));
}

/// What the mark costs, beside what runs differ by anyway; the last marked one.
Federation ReportCost(const Scene& scene, const ownership::Triggers& triggers) {
  std::vector<double> before;
  std::vector<double> after;
  Federation marked;
  for (std::size_t run = 1; run <= kRuns; ++run) {
    before.push_back(Accuracy(scene, Federate(scene, nullptr, run).parameters) * 100);
    marked = Federate(scene, &triggers, run);
    after.push_back(Accuracy(scene, marked.parameters) * 100);
  }
  const auto mean = [](const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  };
  Print(scene.name + "/accuracy without a mark, mean of 3", mean(before), "%");
  Print(scene.name + "/accuracy with a mark, mean of 3", mean(after), "%");
  Print(scene.name + "/cost of the mark", mean(before) - mean(after), "points");
  Print(scene.name + "/what runs without a mark differ by", std::ranges::max(before) - std::ranges::min(before),
        "points");
  return marked;
}

void ReportMark(const Scene& scene, const ownership::Triggers& triggers, const Federation& marked) {
  const std::string& name = scene.name;
  Print(name + "/time to mark a round", marked.mark_seconds / kRounds * 1e3, "ms");
  Print(name + "/steps of the last round", marked.mark_steps, "steps");
  const auto report = [&](const std::string& what, const Parameters& changed, bool has_goal) {
    const double rate = static_cast<double>(ownership::CountMatches(scene.model, changed, triggers)) /
                        static_cast<double>(triggers.y.size()) * 100;
    Print(name + "/match, " + what, rate, "%", has_goal ? std::optional(AtLeast(rate, 95)) : std::nullopt);
    Print(name + "/accuracy, " + what, Accuracy(scene, changed) * 100, "%");
  };
  const Parameters& model = marked.parameters;
  report("as published", model, true);
  report("int8", ToEightBits(scene.model, model), true);
  for (const int percent : {30, 50, 70, 80, 90})
    report("pruned " + std::to_string(percent) + " %", Pruned(scene.model, model, percent / 100.0), percent <= 50);
  report("30 epochs of fine-tuning", FineTuned(scene, model, scene.options.learning_rate / 10), true);
  report("30 epochs of fine-tuning at ten times the rate", FineTuned(scene, model, scene.options.learning_rate), false);
  report("pruned 50 %, fine-tuned, int8",
         ToEightBits(scene.model, FineTuned(scene, Pruned(scene.model, model, 0.5), scene.options.learning_rate / 10)),
         false);
  report("distilled from its answers", Distilled(scene, model), false);
}

// ---- Copies ----

crypto::SecretKey KeyOf(const crypto::SecretKey& owner, std::size_t device) {
  return ownership::CopyKeyOf(owner, Take(TaskId::Parse("t")), 1, Take(DeviceId::Parse("d" + std::to_string(device))));
}

Parameters CopyOf(const Scene& scene, const crypto::SecretKey& owner, const Parameters& master) {
  const graph::OwnedGraph graph = graph::FromSpec(scene.model, master);
  const graph::OwnedGraph copy = ownership::Obfuscate({graph.graph, graph.bytes()}, KeyOf(owner, kSource));
  const AlignedBuffer file = graph::Serialise({copy.graph, copy.bytes()});
  return Take(Take(ownership::Suspect::Read(file.bytes())).ParametersAs(scene.model));
}

void ReportCopy(const Scene& scene, const Parameters& master, const Parameters& copy) {
  double most = 0;
  std::size_t equal = 0;
  for (std::size_t row = 0; row < scene.test.rows; ++row) {
    const auto x = std::span(scene.test.x).subspan(row * scene.test.features, scene.test.features);
    const auto one = LogitsOf(scene.model, master, x);
    const auto two = LogitsOf(scene.model, copy, x);
    for (std::size_t i = 0; i < one.size(); ++i) most = std::max(most, std::abs(one[i] - two[i]));
    equal += std::ranges::max_element(one) - one.begin() == std::ranges::max_element(two) - two.begin() ? 1U : 0U;
  }
  std::size_t same = 0;
  for (std::size_t i = 0; i < master.size(); ++i) same += master[i] == copy[i] ? 1U : 0U;
  const double share = static_cast<double>(same) / static_cast<double>(master.size()) * 100;
  const double answers = static_cast<double>(equal) / static_cast<double>(scene.test.rows) * 100;
  Print(scene.name + "/copy, largest difference of a logit, 1e-6", most * 1e6, "", Below(most * 1e6, 100));
  Print(scene.name + "/copy, equal answers on the whole test set", answers, "%", AtLeast(answers, 100));
  Print(scene.name + "/copy, weights with the master's bits", share, "%", Below(share, 1));
}

/// All hidden channels in another order once more; the factors stay.
Parameters Reordered(const model::ModelSpec& model, const Parameters& from) {
  const auto tensors = model.Tensors();
  Parameters to = from;
  const std::size_t hidden = tensors[0].shape[0];
  const std::size_t inputs = tensors[0].shape[1];
  for (std::size_t i = 0; i < hidden; ++i) {
    const std::size_t j = (i * 37 + 5) % hidden;  // 128 is prime to 37
    std::copy_n(&from[tensors[0].offset + j * inputs], inputs, &to[tensors[0].offset + i * inputs]);
    to[tensors[1].offset + i] = from[tensors[1].offset + j];
    for (std::size_t row = 0; row < tensors[2].shape[0]; ++row)
      to[tensors[2].offset + row * hidden + i] = from[tensors[2].offset + row * hidden + j];
  }
  return to;
}

void ReportTrace(const Scene& scene, const crypto::SecretKey& owner, const Parameters& master, const std::string& what,
                 const Parameters& suspect) {
  const graph::OwnedGraph ours = graph::FromSpec(scene.model, master);
  const graph::OwnedGraph theirs = graph::FromSpec(scene.model, suspect);
  const auto likeness = Take(ownership::Compare({ours.graph, ours.bytes()}, {theirs.graph, theirs.bytes()}));
  ownership::Lineup lineup;
  const auto began = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < kDevices; ++i)
    lineup.Add(Take(DeviceId::Parse("d" + std::to_string(i))), ownership::ScoreOf(likeness, KeyOf(owner, i)));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const auto& best = Present(lineup.best(), "devices were added");
  const bool named = lineup.Names() && best.device.str() == "d" + std::to_string(kSource);
  Print(scene.name + "/trace among 10,000, " + what + ": names the source", named ? 1 : 0, "",
        AtLeast(named ? 1 : 0, 1));
  Print(scene.name + "/trace among 10,000, " + what + ": match", best.score.match() * 100, "%");
  Print(scene.name + "/trace among 10,000, " + what + ": log10 of the chance of a false accusation",
        (best.score.log_p + std::log(static_cast<double>(kDevices))) / std::log(10.0), "");
  if (what == "as it was") Print(scene.name + "/trace, a device", seconds / kDevices * 1e6, "us");
}

void ReportCopies(const Scene& scene, const crypto::SecretKey& owner, const Parameters& master) {
  const Parameters copy = CopyOf(scene, owner, master);
  ReportCopy(scene, master, copy);
  const auto trace = [&](const std::string& what, const Parameters& suspect) {
    ReportTrace(scene, owner, master, what, suspect);
  };
  trace("as it was", copy);
  trace("noise of 20 %", Noisy(scene.model, copy, 0.2));
  trace("int8", ToEightBits(scene.model, copy));
  trace("pruned 50 %", Pruned(scene.model, copy, 0.5));
  trace("30 epochs of fine-tuning", FineTuned(scene, copy, scene.options.learning_rate / 10));
  trace("another order of all channels", Reordered(scene.model, copy));
}

int Run() {
  const char* const shared = std::getenv("TACIT_SHARED_DIR");
  const fs::path directory = shared == nullptr ? fs::path("../shared") : fs::path(shared);
  const crypto::SecretKey owner = Take(crypto::SecretKey::FromBytes(Bytes(crypto::SecretKey::kSize, 42)));
  for (const Scene& scene : {Fashion(directory), Activities(directory)}) {
    const crypto::SecretKey mark_key = ownership::MarkKeyOf(owner, Take(TaskId::Parse("t")));
    const ownership::Triggers triggers = ownership::MakeTriggers(mark_key, scene.model, scene.rules);
    const Federation marked = ReportCost(scene, triggers);
    ReportMark(scene, triggers, marked);
    ReportNull(scene, triggers);
    ReportCopies(scene, owner, marked.parameters);
  }
  return 0;
}

}  // namespace
}  // namespace tacit

int main() {
  return tacit::Run();
}
