#include <cmath>

#include "edge_agent/data/row_reader.h"
#include "tests/fuzz/fuzz.h"

namespace {

constexpr std::uint64_t kStreamLimit = 1U << 22U;

void ReadRow(const tacit::data::RowReader& rows) {
  for (std::size_t column = 0; column < rows.columns() && column < 64; ++column) {
    const auto number = rows.Number(column);
    if (number && *number) TACIT_CHECK(std::isfinite(**number), "a number that is read is finite");
    (void)rows.Text(column);
    (void)rows.Where(column);
  }
}

}  // namespace

/// NPY, IDX and CSV, plain or gzip, as the first bytes say. The last byte chooses how a CSV header is looked for.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  auto stream = tacit::data::DataStream::FromMemory({data, size}, "fuzz", kStreamLimit);
  if (!stream) return 0;
  const auto header = static_cast<tacit::data::CsvHeader>(data[size - 1] % 3);
  auto rows = tacit::data::OpenRows(*std::move(stream), header);
  if (!rows) return 0;
  TACIT_CHECK((*rows)->columns() <= tacit::data::RowReader::kMaxColumns, "the memory of one row is bounded");
  while (true) {
    const auto more = (*rows)->Next();
    if (!more || !*more) return 0;
    ReadRow(**rows);
  }
}
