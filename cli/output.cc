#include "cli/output.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace tacit::cli {
namespace {

constexpr int kSchema = 1;

// Bytes that are not UTF-8 become U+FFFD: a hostile name cannot break the one line of JSON.
std::string Dump(const Json& document) {
  return document.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string Shown(std::string text) {
  const auto is_control = [](char c) { return c != '\n' && (static_cast<unsigned char>(c) < 0x20 || c == 0x7f); };
  std::ranges::replace_if(text, is_control, '?');
  return text;
}

// Flushed at once: what watches a pipe or a terminal sees each line when it is written.
void Write(std::FILE* stream, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

}  // namespace

std::string DataEnvelope(const Json& data) {
  return Dump({{"schema", kSchema}, {"data", data}});
}

std::string ErrorEnvelope(const Failure& failure) {
  const Json error = {
      {"code", TraitsOf(failure.error.code).name}, {"message", failure.error.message}, {"hint", failure.hint}};
  return Dump({{"schema", kSchema}, {"error", error}});
}

void Output::Show(const Report& report) const {
  for (const std::string& note : report.notes) Note(note);
  Write(stdout, form_ == OutputForm::kJson ? DataEnvelope(report.data) : Shown(report.text));
}

ExitCode Output::Show(const Failure& failure) const {
  if (form_ == OutputForm::kJson) {
    Write(stdout, ErrorEnvelope(failure));
  } else {
    const std::string next = failure.hint.empty() ? "" : "\n  next: " + failure.hint;
    Write(stderr, Shown("tacit: " + failure.error.message + next + "\n"));
  }
  return failure.exit;
}

bool Output::MayDraw() const {
  const auto is_set = [](const char* name) {
    const char* const value = std::getenv(name);
    return value != nullptr && *value != '\0';
  };
  const char* const terminal = std::getenv("TERM");
  const bool can_draw = terminal != nullptr && std::string_view(terminal) != "dumb" && ::isatty(STDERR_FILENO) == 1;
  return form_ == OutputForm::kText && can_draw && !is_set("NO_COLOR") && !is_set("CI");
}

void Output::Draw(const std::string& line) const {
  constexpr const char* kEraseLine = "\r\x1b[K";
  Write(stderr, kEraseLine + Shown(line));
}

void Output::Note(const std::string& text) const {
  if (form_ == OutputForm::kText) Write(stderr, Shown(text + "\n"));
}

}  // namespace tacit::cli
