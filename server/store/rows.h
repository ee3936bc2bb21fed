#pragma once

#include <array>
#include <string>
#include <string_view>

#include "server/store/database.h"
#include "server/store/records.h"

/// Reading names and words back from rows: what does not parse was not written by us.
namespace tacit::store {

template <typename Id>
Result<Id> TakeName(Query& query) {
  Result<Id> name = Id::Parse(query.TakeText());
  if (name) return name;
  return Fail(ErrorCode::kDataLoss, "the database holds a bad name: " + name.error().message);
}

/// The one of `choices` whose NameOf is the next column.
template <typename Word, std::size_t N>
Result<Word> TakeWord(Query& query, const std::array<Word, N>& choices) {
  const std::string text = query.TakeText();
  for (const Word word : choices) {
    if (NameOf(word) == text) return word;
  }
  return Fail(ErrorCode::kDataLoss, "the database holds an unknown word");
}

/// All rows of a query, each read by `read(query)`, which returns a Result.
template <typename Reader>
auto TakeAll(Query query, Reader read) -> Result<std::vector<typename decltype(read(query))::value_type>> {
  std::vector<typename decltype(read(query))::value_type> rows;
  while (true) {
    TACIT_TRY(const bool more, query.Next());
    if (!more) return rows;
    TACIT_TRY(auto row, read(query));
    TACIT_TRY_VOID(query.RowIsSound());
    rows.push_back(std::move(row));
  }
}

/// The first row, or nothing.
template <typename Reader>
auto TakeFirst(Query query, Reader read) -> Result<std::optional<typename decltype(read(query))::value_type>> {
  using Row = typename decltype(read(query))::value_type;
  TACIT_TRY(const bool any, query.Next());
  if (!any) return std::optional<Row>();
  TACIT_TRY(Row row, read(query));
  TACIT_TRY_VOID(query.RowIsSound());
  return std::optional<Row>(std::move(row));
}

}  // namespace tacit::store
