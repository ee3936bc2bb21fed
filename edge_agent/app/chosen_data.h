#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "edge_agent/data/dataset.h"

namespace tacit::agent {

/// What the command line says about data; exactly one of `people`, `synthetic` and `config` is set.
struct DataArguments {
  std::optional<std::filesystem::path> people = std::nullopt;  ///< A directory in the layout of data::PeopleLayout.
  std::optional<std::uint32_t> subject = std::nullopt;         ///< One of its people; all of them otherwise.
  std::optional<std::string> synthetic = std::nullopt;         ///< INDEX/COUNT: one of COUNT simulated devices.
  std::optional<std::filesystem::path> config = std::nullopt;  ///< As ParseDataSource reads it.
  data::Split split = data::Split::kTrain;
};

/// INDEX/COUNT.
struct FleetPlace {
  std::uint32_t index = 0;
  std::uint32_t count = 0;
};
/// Errors: kInvalidArgument unless both are decimal numbers and INDEX < COUNT.
Result<FleetPlace> ParseFleetPlace(const std::string& text);

/// Synthetic test rows are those of ten simulated devices that train nowhere, whatever INDEX says: what is learned is
/// judged on devices that took no part. Errors: as data::LoadDataset; kInvalidArgument when not exactly one kind of
/// data is chosen.
Result<data::Dataset> LoadChosenData(const DataArguments& arguments);

/// The people of a directory, in rising order. Errors: as data::LoadDataset.
Result<std::vector<std::uint32_t>> ListSubjects(const std::filesystem::path& people, data::Split split);

}  // namespace tacit::agent
