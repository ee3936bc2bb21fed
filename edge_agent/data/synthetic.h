#pragma once

#include <cstdint>

#include "common/base/result.h"
#include "edge_agent/data/dataset.h"

namespace tacit::data {

/// One of `devices` simulated devices.
struct SyntheticOptions {
  std::uint32_t device_index = 0;  ///< Below `devices`.
  std::uint32_t devices = 1;
  std::uint32_t rows = 300;
  std::uint64_t seed = 1;  ///< Of the whole fleet.
  /// Training rows are skewed in their activities; test rows are of other devices than the training ones, all
  /// activities alike.
  Split split = Split::kTrain;
};

inline constexpr std::uint32_t kSyntheticFeatures = 60;
inline constexpr std::uint32_t kSyntheticClasses = 6;

/// Windows of a simulated three-axis accelerometer, as features: synthetic data, made for demonstrations and tests,
/// that says nothing about people.
///
/// A window is 2.56 s at 50 Hz of one of six activities (walking, walking upstairs, walking downstairs, sitting,
/// standing, lying). Each device has its own gain, mounting angle, gait frequency, vigour, sensor noise and mix of
/// activities, so no two devices have the same distribution, and each activity on a device is told apart by a model
/// that learns from many.
///
/// Features: for each of x, y, z and the magnitude without gravity: mean, standard deviation, smallest, largest, mean
/// absolute step, share of crossings of the mean, amplitude up to 1, at 1 to 1.75, 1.75 to 2.2, 2.2 to 3.3, 3.3 to 4.9
/// and 4.9 to 10 Hz, autocorrelation at a quarter and half a second (14 each); then the correlations xy, xz, yz and the
/// share of the window's gravity on z. Each is scaled by a constant to lie mostly in [-1, 1]; no statistic of the fleet
/// is used.
///
/// Shape: `rows` x kSyntheticFeatures, kSyntheticClasses classes. The same bits for the same options on one machine.
/// Errors: kInvalidArgument when the index is not below the number of devices or there are no rows.
Result<Dataset> SyntheticSensorWindows(const SyntheticOptions& options);

/// Puts the rows of one data set behind those of another that has the same shape, or none yet.
void AppendRows(Dataset& into, const Dataset& rows);

/// What models of synthetic data are measured on: 200 windows of each of ten devices that no fleet has.
Result<Dataset> SyntheticHeldOut();

}  // namespace tacit::data
