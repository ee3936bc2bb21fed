#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "common/base/result.h"
#include "common/model/spec.h"
#include "edge_agent/data/dataset.h"

namespace tacit::training {

/// Training on rows that are changed, within `epsilon`, so that the loss grows. Source: Madry et al. 2018, section 2.1.
struct Adversarial {
  double epsilon = 0;       ///< The largest change of a number; greater than 0.
  std::uint32_t steps = 1;  ///< Of the search, which begins at random within epsilon; 1 at least.
  double step_size = 0;     ///< The change of a number in one step; greater than 0.
  double share = 1;         ///< Of the rows of an epoch; in (0, 1].
  double input_min = 0;     ///< What every number of a changed row is kept within.
  double input_max = 1;
};

/// How one device trains in one round.
struct TrainingOptions {
  std::uint32_t epochs = 1;
  std::uint32_t batch_size = 32;
  double learning_rate = 0;                               ///< Greater than 0.
  double momentum = 0;                                    ///< In [0, 1); starts from rest in each round.
  double proximal_mu = 0;                                 ///< Weight of the FedProx term mu/2 |w - w0|^2; 0: none.
  std::optional<Adversarial> adversarial = std::nullopt;  ///< None: on the rows as they are.
  std::uint64_t seed = 0;                                 ///< Of the order of the rows, and of searches.
};

struct LocalUpdate {
  std::vector<float> delta;  ///< Trained parameters minus the ones training started from.
  double mean_loss = 0;      ///< Of the last epoch, in nats. Privacy: computed from raw data; never leaves the device.
};

/// Stochastic gradient descent on cross-entropy from `start`, in float32, one thread. The same bits for the same inputs
/// on one machine. Shape: `start` has spec.ParameterCount() elements; `delta` too. Errors: kInvalidArgument when the
/// data do not fit the model, an option is out of its range, or training diverges; kUnavailable when `stop` was
/// requested. Privacy: the delta is not yet clipped or noised. Cost: with `adversarial`, a pass forward and one back
/// more for each step of each changed row. Source: McMahan et al. 2017, algorithm 1 (ClientUpdate); Li et al. 2020,
/// section 3.2 (FedProx); momentum as in Sutskever et al. 2013, classical form.
Result<LocalUpdate> Train(const model::ModelSpec& spec, std::span<const float> start, const data::Dataset& dataset,
                          const TrainingOptions& options, const std::stop_token& stop = {});

/// What one device has learned, as LocalUpdate; the delta is its trainer's, until that trains again.
struct Trained {
  std::span<const float> delta;
  double mean_loss = 0;
};

/// Trains devices that have some rows of one data set each, one after the other, in memory that is taken once: for
/// fleets that are simulated. Threads: one at a time.
class Trainer {
 public:
  /// The data set must outlive it. Errors: as Train.
  static Result<Trainer> Create(const model::ModelSpec& spec, const data::Dataset& dataset,
                                const TrainingOptions& options);
  Trainer(Trainer&&) noexcept;
  ~Trainer();

  /// The same as Train on a data set of these rows in this order, with `seed` in place of the options' own.
  /// Shape: `start` has as many elements as the model has parameters; one row at least, each below the data set's rows.
  Result<Trained> Train(std::span<const float> start, std::span<const std::uint32_t> rows, std::uint64_t seed,
                        const std::stop_token& stop = {});

 private:
  class Descent;
  explicit Trainer(std::unique_ptr<Descent> descent);
  std::unique_ptr<Descent> descent_;
};

struct Evaluation {
  double loss = 0;      ///< Mean cross-entropy, in nats.
  double accuracy = 0;  ///< Share of the rows whose most likely class is right.
  std::size_t rows = 0;
};

/// Errors: kInvalidArgument when the data do not fit the model. Privacy: a statistic of raw data.
Result<Evaluation> Evaluate(const model::ModelSpec& spec, std::span<const float> parameters,
                            const data::Dataset& dataset);

}  // namespace tacit::training
