#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/failure.h"

namespace tacit::cli {

using Json = nlohmann::ordered_json;

/// What a command has to say: `data` for programs, `text` for people.
struct Report {
  Json data;
  std::string text;  ///< Ends with a line end unless empty.
  /// Shown to people on stderr: what is not part of the answer.
  std::vector<std::string> notes;
  /// What the command ends with after it was shown.
  ExitCode exit = ExitCode::kOk;
};

/// {"schema":1,"data":...} on one line.
std::string DataEnvelope(const Json& data);
/// {"schema":1,"error":{"code","message","hint"}} on one line.
std::string ErrorEnvelope(const Failure& failure);

enum class OutputForm : std::uint8_t { kText, kJson };

/// Writes reports and failures in the form that was asked for: answers to stdout, notes to stderr; a failure goes to
/// stdout as JSON, since a program reads that, and to stderr as text. What comes from a server is shown without control
/// characters.
class Output {
 public:
  explicit Output(OutputForm form) : form_(form) {}
  void Show(const Report& report) const;
  [[nodiscard]] ExitCode Show(const Failure& failure) const;
  /// Only in text form.
  void Note(const std::string& text) const;
  /// Whether somebody looks on who wants to see things move: in text form, where stderr is a terminal, and neither
  /// $NO_COLOR nor $CI is set.
  [[nodiscard]] bool MayDraw() const;
  /// Puts a line in the place of the one that was drawn before; an empty one ends that. Only where MayDraw.
  void Draw(const std::string& line) const;

 private:
  OutputForm form_;
};

}  // namespace tacit::cli
