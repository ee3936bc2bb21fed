#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "edge_agent/data/dataset.h"

namespace tacit::simulate {

/// Which rows of a data set each device has.
using Shares = std::vector<std::vector<std::uint32_t>>;

/// What a simulated fleet trains on, and what its models are measured on.
struct FleetExamples {
  data::Dataset rows;
  /// Of the first devices; a larger fleet has them again, so that its noise and its sampling are those of its size, and
  /// its data no richer. None is empty.
  Shares shares;
  /// In pieces that are measured at a time: how they are cut changes the last bits of a loss.
  std::vector<data::Dataset> held_out;
  std::string description;

  [[nodiscard]] const std::vector<std::uint32_t>& ShareOf(std::size_t device) const {
    return shares[device % shares.size()];
  }
};

struct ExamplesOptions {
  /// A directory with recordings of people as the quickstart takes them, or with images in four IDX files named as
  /// MNIST's are; or a description of data, as a device has one; empty: synthetic sensor windows.
  std::filesystem::path data;
  /// Beside a description: that of what models are measured on. Empty: a fifth of the rows is held out.
  std::filesystem::path held_out;
  /// An array with a row for each device, which holds the numbers of its rows, from 0. Empty: each device has rows from
  /// all over the data. Not for people.
  std::filesystem::path partition;
  std::uint64_t devices = 1;
  std::uint32_t classes = 0;  ///< Of the images.
  std::size_t threads = 1;
};

/// Errors: kInvalidArgument for a directory that has neither, and for what does not go with the data; those of the
/// readers.
Result<FleetExamples> LoadExamples(const ExamplesOptions& options);

/// Into so many devices at most is what one person recorded split.
inline constexpr std::size_t kMostPartsOfPerson = 10;

/// Deals out what people recorded, `person_of_row` each: device i has a part of what person i modulo the number of
/// people recorded, and everybody's is dealt row by row to as many devices as the fleet needs, kMostPartsOfPerson at
/// most. So no device has rows of two people.
Shares DealPeople(std::span<const std::uint32_t> person_of_row, std::uint64_t devices);

}  // namespace tacit::simulate
