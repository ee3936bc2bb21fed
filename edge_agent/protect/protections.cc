#include "edge_agent/protect/protections.h"

#include <algorithm>
#include <system_error>

namespace tacit::protect {
namespace {

constexpr std::uint8_t kNotAsked = 0;
constexpr std::uint8_t kHeld = 1;
constexpr int kMostErrno = 254;

constexpr std::array<std::string_view, kMeasures> kNames = {
    "not_dumpable", "no_core_file", "no_new_privileges", "no_write_execute", "dies_with_agent", "own_user",
    "limits",       "no_files",     "no_network",        "scoped_signals",   "few_calls",       "secret_pages",
    "locked_pages", "sealed_pages", "pages_not_dumped",  "pages_not_forked"};

std::string AllNames() {
  std::string all;
  for (const std::string_view name : kNames) all.append(all.empty() ? "" : ", ").append(name);
  return all;
}

}  // namespace

std::string_view NameOf(Measure measure) {
  return kNames[static_cast<std::size_t>(measure)];
}

Result<Measure> ParseMeasure(std::string_view name) {
  const auto* const found = std::ranges::find(kNames, name);
  if (found == kNames.end()) {
    return Fail(ErrorCode::kInvalidArgument, "no protection is called '" + std::string(name) + "'; use " + AllNames());
  }
  return static_cast<Measure>(found - kNames.begin());
}

void Protections::Record(Measure measure, int error) {
  std::uint8_t& state = states_[static_cast<std::size_t>(measure)];
  if (state > kHeld) return;
  state = static_cast<std::uint8_t>(std::min(error, kMostErrno) + kHeld);
}

void Protections::Add(const Protections& others) {
  for (std::size_t i = 0; i < kMeasures; ++i) {
    if (others.states_[i] != kNotAsked) Record(static_cast<Measure>(i), others.states_[i] - kHeld);
  }
}

bool Protections::Holds(Measure measure) const {
  return states_[static_cast<std::size_t>(measure)] == kHeld;
}

std::vector<Measure> Protections::Missing() const {
  std::vector<Measure> missing;
  for (std::size_t i = 0; i < kMeasures; ++i) {
    if (states_[i] > kHeld) missing.push_back(static_cast<Measure>(i));
  }
  return missing;
}

std::string Protections::Degradations() const {
  std::string text;
  for (const Measure measure : Missing()) {
    const int error = states_[static_cast<std::size_t>(measure)] - kHeld;
    text.append(text.empty() ? "" : "; ").append(NameOf(measure));
    text.append(": ").append(std::generic_category().message(error));
  }
  return text;
}

Bytes Protections::Encode() const {
  return {states_.begin(), states_.end()};
}

Result<Protections> Protections::Parse(ByteSpan bytes) {
  if (bytes.size() != kEncodedSize) return Fail(ErrorCode::kMalformed, "the protections of a worker are 16 bytes");
  Protections parsed;
  std::ranges::copy(bytes, parsed.states_.begin());
  return parsed;
}

}  // namespace tacit::protect
