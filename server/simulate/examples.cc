#include "server/simulate/examples.h"

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/base/text.h"
#include "edge_agent/data/row_reader.h"
#include "edge_agent/data/source_config.h"
#include "edge_agent/data/synthetic.h"
#include "server/simulate/workers.h"

namespace tacit::simulate {
namespace {

constexpr std::size_t kRowsAtOnce = 512;
constexpr std::size_t kHeldOutOf = 5;
constexpr std::uint64_t kMixingSeed = 1;
// Windows of synthetic devices are slow to make, and more of them teach a model of that size nothing.
constexpr std::uint64_t kMostSyntheticDevices = 500;
constexpr std::uint32_t kSyntheticRows = 60;

std::vector<data::Dataset> InPieces(const data::Dataset& whole) {
  std::vector<data::Dataset> pieces;
  for (std::size_t first = 0; first < whole.rows; first += kRowsAtOnce) {
    const std::size_t count = std::min(kRowsAtOnce, whole.rows - first);
    const auto x = std::span(whole.x).subspan(first * whole.features, count * whole.features);
    const auto y = std::span(whole.y).subspan(first, count);
    pieces.push_back({.rows = count,
                      .features = whole.features,
                      .classes = whole.classes,
                      .x = {x.begin(), x.end()},
                      .y = {y.begin(), y.end()}});
  }
  return pieces;
}

std::optional<std::filesystem::path> Find(const std::filesystem::path& directory, const std::string& name) {
  for (const char* ending : {"", ".gz"}) {
    std::filesystem::path path = directory / (name + ending);
    std::error_code ignored;
    if (std::filesystem::exists(path, ignored)) return path;
  }
  return std::nullopt;
}

/// The first column of a file, as whole numbers.
Result<std::vector<std::uint32_t>> ReadColumn(const std::filesystem::path& path) {
  TACIT_TRY(data::DataStream stream, data::DataStream::OpenFile(path));
  TACIT_TRY(const std::unique_ptr<data::RowReader> table, data::OpenRows(std::move(stream), data::CsvHeader::kAuto));
  std::vector<std::uint32_t> column;
  for (;;) {
    TACIT_TRY(const bool more, table->Next());
    if (!more) return column;
    const auto whole = ParseWhole(table->Text(0));
    if (!whole || *whole > UINT32_MAX)
      return Fail(ErrorCode::kMalformed,
                  table->Where(0) + ": expected a whole number, found " + Excerpt(table->Text(0)));
    column.push_back(static_cast<std::uint32_t>(*whole));
  }
}

// ---- People ----

/// Who recorded each row that LoadDataset keeps: those whose label is one of the classes.
Result<std::vector<std::uint32_t>> PeopleOfRows(const data::DataSource& source, const std::filesystem::path& people) {
  TACIT_TRY(const std::vector<std::uint32_t> labels, ReadColumn(Present(source.labels, "people have labels")));
  TACIT_TRY(const std::vector<std::uint32_t> persons, ReadColumn(people));
  if (labels.size() != persons.size()) {
    return Fail(ErrorCode::kMalformed, people.string() + ": expected " + std::to_string(labels.size()) +
                                           " rows, as many as there are labels, found " +
                                           std::to_string(persons.size()));
  }
  const auto& range = std::get<data::LabelRange>(source.classes);
  std::vector<std::uint32_t> kept;
  for (std::size_t i = 0; i < labels.size(); ++i)
    if (labels[i] >= range.first && labels[i] < range.first + range.classes) kept.push_back(persons[i]);
  return kept;
}

Result<FleetExamples> LoadPeople(const ExamplesOptions& options) {
  const data::DataSource train = data::SourceOf({.directory = options.data, .split = data::Split::kTrain});
  FleetExamples examples;
  TACIT_TRY(examples.rows, data::LoadDataset(train));
  TACIT_TRY(const data::Dataset held_out,
            data::LoadDataset(data::SourceOf({.directory = options.data, .split = data::Split::kTest})));
  examples.held_out = InPieces(held_out);
  // Any subject gives the path of the file that names them all.
  const auto of_one = data::SourceOf({.directory = options.data, .split = data::Split::kTrain, .subject = 0});
  const auto& where = std::get<data::RowsWhere>(of_one.rows);
  TACIT_TRY(const std::vector<std::uint32_t> person_of_row,
            PeopleOfRows(train, Present(where.file, "a directory of people has a file that names them")));
  examples.shares = DealPeople(person_of_row, options.devices);
  examples.description = std::to_string(examples.rows.rows) + " recorded windows of people, dealt to " +
                         Counted(examples.shares.size(), "device");
  return examples;
}

// ---- Images ----

struct ImageFiles {
  std::filesystem::path images;
  std::filesystem::path labels;
};

std::optional<ImageFiles> FindImages(const std::filesystem::path& directory, const std::string& prefix) {
  auto images = Find(directory, prefix + "-images-idx3-ubyte");
  auto labels = Find(directory, prefix + "-labels-idx1-ubyte");
  if (!images || !labels) return std::nullopt;
  return ImageFiles{*std::move(images), *std::move(labels)};
}

Result<data::Dataset> ReadImages(const ImageFiles& files, std::uint32_t classes) {
  TACIT_TRY(data::Dataset dataset, data::LoadDataset({.features = files.images,
                                                      .labels = files.labels,
                                                      .classes = data::LabelRange{.first = 0, .classes = classes},
                                                      .scale = 1.0 / 255}));
  if (dataset.left_out.rows == 0) return dataset;
  return Fail(ErrorCode::kInvalidArgument, files.labels.string() + " has labels beyond the " + std::to_string(classes) +
                                               " classes of the task's model");
}

Result<std::vector<std::uint32_t>> ReadShare(const data::RowReader& table, std::size_t rows) {
  std::vector<std::uint32_t> share;
  for (std::size_t column = 0; column < table.columns(); ++column) {
    const auto row = ParseWhole(table.Text(column));
    if (!row || *row >= rows) {
      return Fail(ErrorCode::kMalformed, table.Where(column) + ": expected the number of one of " +
                                             std::to_string(rows) + " images, found " + Excerpt(table.Text(column)));
    }
    share.push_back(static_cast<std::uint32_t>(*row));
  }
  return share;
}

Result<Shares> ReadPartition(const std::filesystem::path& path, std::size_t rows, std::uint64_t devices) {
  TACIT_TRY(data::DataStream stream, data::DataStream::OpenFile(path));
  TACIT_TRY(const std::unique_ptr<data::RowReader> table, data::OpenRows(std::move(stream), data::CsvHeader::kAuto));
  Shares shares;
  while (shares.size() < devices) {
    TACIT_TRY(const bool more, table->Next());
    if (!more) break;
    TACIT_TRY(shares.emplace_back(), ReadShare(*table, rows));
  }
  if (!shares.empty()) return shares;
  return Fail(ErrorCode::kMalformed, path.string() + ": expected a row for each device, found none");
}

// Always the same, and nothing that a file repeats every so many rows meets what is dealt every so many.
std::vector<std::uint32_t> Mixed(std::size_t rows) {
  std::vector<std::uint32_t> order(rows);
  std::iota(order.begin(), order.end(), 0U);
  SplitMix64 random(kMixingSeed);
  for (std::size_t i = rows; i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  return order;
}

Shares DealAlike(std::size_t rows, std::uint64_t devices) {
  Shares shares(std::min<std::uint64_t>(rows, devices));
  std::size_t device = 0;
  for (const std::uint32_t row : Mixed(rows)) shares[device++ % shares.size()].push_back(row);
  return shares;
}

/// Deals rows as the partition says, or alike where there is none.
Result<FleetExamples> Dealt(data::Dataset rows, const data::Dataset& held_out, const ExamplesOptions& options) {
  FleetExamples examples{.rows = std::move(rows), .shares = {}, .held_out = InPieces(held_out), .description = {}};
  if (options.partition.empty()) {
    examples.shares = DealAlike(examples.rows.rows, options.devices);
  } else {
    TACIT_TRY(examples.shares, ReadPartition(options.partition, examples.rows.rows, options.devices));
  }
  examples.description = Counted(examples.rows.rows, "row") + " of " + options.data.filename().string() + ", " +
                         (options.partition.empty() ? "alike for " : "by a partition for ") +
                         Counted(examples.shares.size(), "device");
  return examples;
}

Result<FleetExamples> LoadImages(const ExamplesOptions& options, const ImageFiles& train) {
  const auto test = FindImages(options.data, "t10k");
  if (!test) {
    return Fail(ErrorCode::kNotFound, options.data.string() +
                                          " has images to train on and none to measure on: t10k-images-idx3-ubyte and "
                                          "t10k-labels-idx1-ubyte are not there");
  }
  TACIT_TRY(data::Dataset rows, ReadImages(train, options.classes));
  TACIT_TRY(const data::Dataset held_out, ReadImages(*test, options.classes));
  return Dealt(std::move(rows), held_out, options);
}

// ---- Anybody's data ----

struct Parted {
  data::Dataset rows;
  data::Dataset held_out;
};

Parted HoldOutAFifth(const data::Dataset& whole) {
  Parted parted;
  for (data::Dataset* const part : {&parted.rows, &parted.held_out}) {
    part->features = whole.features;
    part->classes = whole.classes;
  }
  for (const std::uint32_t row : Mixed(whole.rows)) {
    data::Dataset& part = parted.held_out.rows < whole.rows / kHeldOutOf ? parted.held_out : parted.rows;
    const auto x = std::span(whole.x).subspan(row * whole.features, whole.features);
    part.x.insert(part.x.end(), x.begin(), x.end());
    part.y.push_back(whole.y[row]);
    ++part.rows;
  }
  return parted;
}

Result<data::Dataset> ReadDescribed(const std::filesystem::path& description) {
  TACIT_TRY(const data::DataSource source, data::LoadDataSource(description));
  return data::LoadDataset(source);
}

Result<FleetExamples> LoadDescribed(const ExamplesOptions& options) {
  TACIT_TRY(data::Dataset rows, ReadDescribed(options.data));
  if (!options.partition.empty() && (rows.left_out.rows > 0 || options.held_out.empty())) {
    return Fail(ErrorCode::kInvalidArgument,
                "a partition counts the rows of the file: it wants a description that leaves none out, and one of the "
                "data held out (--held-out)");
  }
  if (options.held_out.empty()) {
    Parted parted = HoldOutAFifth(rows);
    if (parted.held_out.rows > 0) return Dealt(std::move(parted.rows), parted.held_out, options);
    return Fail(ErrorCode::kInvalidArgument,
                options.data.string() + " selects " + Counted(rows.rows, "row") + ", too few to hold a fifth out");
  }
  TACIT_TRY(const data::Dataset held_out, ReadDescribed(options.held_out));
  if (held_out.features == rows.features && held_out.classes == rows.classes)
    return Dealt(std::move(rows), held_out, options);
  return Fail(ErrorCode::kInvalidArgument,
              options.held_out.string() + " has other features or classes than " + options.data.string());
}

// ---- Synthetic windows ----

Result<FleetExamples> MakeSynthetic(const ExamplesOptions& options) {
  const auto devices = static_cast<std::uint32_t>(std::min(options.devices, kMostSyntheticDevices));
  std::vector<Result<data::Dataset>> made(devices, data::Dataset{});
  ForEach({.count = devices, .threads = options.threads}, [&](std::size_t /*worker*/, std::size_t i) {
    made[i] = data::SyntheticSensorWindows(
        {.device_index = static_cast<std::uint32_t>(i), .devices = devices, .rows = kSyntheticRows});
  });
  FleetExamples examples;
  for (const Result<data::Dataset>& each : made) {
    TACIT_TRY_VOID(each);
    std::vector<std::uint32_t>& share = examples.shares.emplace_back();
    for (std::size_t row = 0; row < each->rows; ++row)
      share.push_back(static_cast<std::uint32_t>(examples.rows.rows + row));
    data::AppendRows(examples.rows, *each);
  }
  TACIT_TRY(const data::Dataset held_out, data::SyntheticHeldOut());
  examples.held_out = InPieces(held_out);
  examples.description =
      "synthetic sensor windows, " + std::to_string(kSyntheticRows) + " for each of " + Counted(devices, "device");
  return examples;
}

}  // namespace

Shares DealPeople(std::span<const std::uint32_t> person_of_row, std::uint64_t devices) {
  std::map<std::uint32_t, std::vector<std::uint32_t>> rows_of_person;
  for (std::size_t row = 0; row < person_of_row.size(); ++row)
    rows_of_person[person_of_row[row]].push_back(static_cast<std::uint32_t>(row));
  const std::size_t people = rows_of_person.size();
  if (people == 0) return {};
  const std::size_t parts = std::clamp<std::size_t>((devices + people - 1) / people, 1, kMostPartsOfPerson);
  Shares shares(people * parts);
  std::size_t person = 0;
  for (const auto& [number, rows] : rows_of_person) {
    for (std::size_t i = 0; i < rows.size(); ++i) shares[person + people * (i % parts)].push_back(rows[i]);
    ++person;
  }
  if (shares.size() > devices) shares.resize(devices);
  std::erase_if(shares, [](const auto& share) { return share.empty(); });
  return shares;
}

Result<FleetExamples> LoadExamples(const ExamplesOptions& options) {
  const auto refuse = [](const std::string& what) { return Fail(ErrorCode::kInvalidArgument, what); };
  const std::filesystem::path& data = options.data;
  std::error_code ignored;
  const bool described = !data.empty() && !std::filesystem::is_directory(data, ignored);
  if (!options.held_out.empty() && !described) {
    return refuse(
        "what is held out is said beside a description of one's own data: people, images and synthetic windows have "
        "theirs");
  }
  if (described) return LoadDescribed(options);
  const auto images = data.empty() ? std::nullopt : FindImages(data, "train");
  if (images) return LoadImages(options, *images);
  if (!options.partition.empty())
    return refuse("a partition is of images, or of data that are described: say with --data which");
  if (data.empty()) return MakeSynthetic(options);
  if (Find(data, "train_x.i8.npy")) return LoadPeople(options);
  return refuse(data.string() +
                " holds neither recordings of people (train_x.i8.npy and the files beside it) nor images "
                "(train-images-idx3-ubyte and the files beside it), plain or gzip; other data are described in a file, "
                "as for a device");
}

}  // namespace tacit::simulate
