#include "edge_agent/app/chosen_data.h"

#include <charconv>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "common/base/check.h"
#include "common/base/text.h"
#include "edge_agent/data/row_reader.h"
#include "edge_agent/data/source_config.h"
#include "edge_agent/data/synthetic.h"

namespace tacit::agent {
namespace {

std::optional<std::uint32_t> ParseNumber(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole ? std::optional(value) : std::nullopt;
}

}  // namespace

Result<FleetPlace> ParseFleetPlace(const std::string& text) {
  const std::size_t slash = text.find('/');
  if (slash != std::string::npos) {
    const auto index = ParseNumber(std::string_view(text).substr(0, slash));
    const auto count = ParseNumber(std::string_view(text).substr(slash + 1));
    if (index && count && *index < *count) return FleetPlace{.index = *index, .count = *count};
  }
  return Fail(ErrorCode::kInvalidArgument,
              "--synthetic: expected INDEX/COUNT with INDEX below COUNT, as 0/12, found '" + text + "'");
}

Result<data::Dataset> LoadChosenData(const DataArguments& arguments) {
  const int chosen = (arguments.people ? 1 : 0) + (arguments.synthetic ? 1 : 0) + (arguments.config ? 1 : 0);
  if (chosen != 1) return Fail(ErrorCode::kInvalidArgument, "give exactly one of --data, --synthetic and --config");
  if (arguments.config) {
    TACIT_TRY(const data::DataSource source, data::LoadDataSource(*arguments.config));
    return data::LoadDataset(source);
  }
  if (arguments.people) {
    return data::LoadDataset(
        data::SourceOf({.directory = *arguments.people, .split = arguments.split, .subject = arguments.subject}));
  }
  TACIT_TRY(const FleetPlace place, ParseFleetPlace(Present(arguments.synthetic, "one of the three was chosen")));
  if (arguments.split == data::Split::kTest) return data::SyntheticHeldOut();
  return data::SyntheticSensorWindows({.device_index = place.index, .devices = place.count});
}

Result<std::vector<std::uint32_t>> ListSubjects(const std::filesystem::path& people, data::Split split) {
  // Any subject gives the same path to the file that names them all.
  const data::DataSource source = data::SourceOf({.directory = people, .split = split, .subject = 0});
  const auto& where = std::get<data::RowsWhere>(source.rows);
  TACIT_TRY(data::DataStream stream,
            data::DataStream::OpenFile(Present(where.file, "a directory of people has a file that names them")));
  TACIT_TRY(const std::unique_ptr<data::RowReader> rows, data::OpenRows(std::move(stream), data::CsvHeader::kAuto));
  std::set<std::uint32_t> subjects;
  while (true) {
    TACIT_TRY(const bool more, rows->Next());
    if (!more) break;
    const std::string text = rows->Text(0);
    const auto subject = ParseNumber(text);
    if (!subject)
      return Fail(ErrorCode::kMalformed, rows->Where(0) + ": expected a person's number, found " + Excerpt(text));
    subjects.insert(*subject);
  }
  return std::vector<std::uint32_t>(subjects.begin(), subjects.end());
}

}  // namespace tacit::agent
