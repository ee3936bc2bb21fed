#include "cli/known_contexts.h"

#include <algorithm>
#include <array>
#include <optional>
#include <system_error>
#include <utility>

#include "cli/fields.h"
#include "cli/text.h"
#include "common/base/files.h"
#include "common/base/text.h"

namespace tacit::cli {
namespace {

constexpr std::size_t kLargestList = 256UL * 1024;
constexpr const char* kSomewhereElse = "correct it, or move it away and add the contexts anew: tacit context add";

struct Field {
  const char* key;
  std::filesystem::path ConnectionArguments::* path;
};
// `server` is no path, and beside them.
constexpr std::array<Field, 5> kPaths{{{"directory", &ConnectionArguments::context},
                                       {"ca", &ConnectionArguments::ca},
                                       {"certificate", &ConnectionArguments::certificate},
                                       {"key", &ConnectionArguments::key},
                                       {"token_file", &ConnectionArguments::token_file}}};

// Nothing for what this command did not write. A path that is not absolute would mean another file from elsewhere.
std::optional<ConnectionArguments> ParseContext(const Json& document) {
  if (!document.is_object()) return std::nullopt;
  ConnectionArguments arguments;
  for (const auto& [key, value] : document.items()) {
    if (!value.is_string()) return std::nullopt;
    const auto text = value.get<std::string>();
    const auto* const field = std::ranges::find_if(kPaths, [&key](const Field& each) { return key == each.key; });
    if (key == "server") {
      arguments.server = text;
    } else if (field != kPaths.end() && std::filesystem::path(text).is_absolute()) {
      arguments.*(field->path) = text;
    } else {
      return std::nullopt;
    }
  }
  return arguments;
}

std::optional<KnownContexts> Parse(const Json& document) {
  const Json& current = MemberAt(document, "current");
  const Json& named = MemberAt(document, "contexts");
  const bool whole =
      CountAt(document, "schema") == 1 && (current.is_null() || current.is_string()) && named.is_object();
  if (!whole) return std::nullopt;
  KnownContexts contexts;
  if (current.is_string()) contexts.current = current.get<std::string>();
  for (const auto& [name, value] : named.items()) {
    auto context = ParseContext(value);
    if (!context || !IsContextName(name)) return std::nullopt;
    contexts.named.emplace(name, *std::move(context));
  }
  return contexts;
}

std::string FormatContexts(const KnownContexts& contexts) {
  Json named = Json::object();
  for (const auto& [name, arguments] : contexts.named) {
    Json fields = Json::object();
    if (!arguments.server.empty()) fields["server"] = arguments.server;
    for (const Field& field : kPaths) {
      if (const auto& path = arguments.*(field.path); !path.empty()) fields[field.key] = path.string();
    }
    named[name] = std::move(fields);
  }
  const Json document = {
      {"schema", 1}, {"current", contexts.current.empty() ? Json() : Json(contexts.current)}, {"contexts", named}};
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

// Those that are not there yet are for this user alone (XDG Base Directory Specification 0.8).
void MakeDirectories(const std::filesystem::path& directory) {
  std::error_code failure;
  if (directory.empty() || std::filesystem::exists(directory, failure)) return;
  MakeDirectories(directory.parent_path());
  if (!std::filesystem::create_directory(directory, failure)) return;
  std::filesystem::permissions(directory, std::filesystem::perms::owner_all, failure);
}

template <typename Value>
void Replace(Value& by, const Value& flag) {
  if (!flag.empty()) by = flag;
}

// A flag goes before what is remembered; who shows a certificate by flags shows no remembered token.
ConnectionArguments Merged(ConnectionArguments remembered, const ConnectionArguments& flags) {
  if (!flags.certificate.empty() || !flags.key.empty()) remembered.token_file.clear();
  Replace(remembered.server, flags.server);
  Replace(remembered.ca, flags.ca);
  Replace(remembered.certificate, flags.certificate);
  Replace(remembered.key, flags.key);
  Replace(remembered.token_file, flags.token_file);
  remembered.known = flags.known;
  return remembered;
}

}  // namespace

bool IsContextName(std::string_view text) {
  constexpr std::string_view kFirst = "abcdefghijklmnopqrstuvwxyz0123456789";
  constexpr std::size_t kLongest = 64;
  const auto fits = [&](char c) { return kFirst.contains(c) || c == '.' || c == '_' || c == '-'; };
  return !text.empty() && text.size() <= kLongest && kFirst.contains(text.front()) && std::ranges::all_of(text, fits);
}

std::filesystem::path KnownContextsFile(const char* xdg_config_home, const char* home) {
  std::filesystem::path base = xdg_config_home == nullptr ? "" : xdg_config_home;
  // "All paths set in these environment variables must be absolute" (XDG Base Directory Specification 0.8).
  if (!base.is_absolute() && home != nullptr) base = std::filesystem::path(home) / ".config";
  return base.is_absolute() ? base / "tacit" / "contexts.json" : std::filesystem::path();
}

Outcome<KnownContexts> ReadKnownContexts(const std::filesystem::path& file) {
  if (file.empty()) return KnownContexts{};
  const auto text = ReadFile(file, kLargestList);
  if (!text && text.error().code == ErrorCode::kNotFound) return KnownContexts{};
  if (!text) return UsageFailure(text.error(), kSomewhereElse);
  if (const auto closed = CheckClosedToOthers(file); !closed)
    return UsageFailure(closed.error(), "chmod 600 " + ShellQuote(file.string()));
  auto contexts = Parse(Json::parse(AsText(*text), nullptr, false));
  if (!contexts) return UsageFailure(file.string() + " is not a list of contexts of schema 1", kSomewhereElse);
  return *std::move(contexts);
}

Outcome<void> WriteKnownContexts(const std::filesystem::path& file, const KnownContexts& contexts) {
  MakeDirectories(file.parent_path());
  const std::string text = FormatContexts(contexts);
  if (auto written = WriteFileAtomic(file, AsBytes(text), kOwnerOnly); !written)
    return UsageFailure(written.error(), "set XDG_CONFIG_HOME to a directory that you may write to");
  return {};
}

std::vector<std::string> NamesOfKnownContexts(const std::filesystem::path& file) {
  std::vector<std::string> names;
  const auto contexts = ReadKnownContexts(file);
  if (!contexts) return names;
  for (const auto& [name, arguments] : contexts->named) names.push_back(name);
  return names;
}

Outcome<ConnectionArguments> ResolveContext(const ConnectionArguments& arguments) {
  const std::string asked = arguments.context.string();
  if (asked.empty() && !arguments.server.empty()) return arguments;
  // A path needs no list, and works where that is damaged.
  if (!asked.empty() && !IsContextName(asked)) return arguments;
  TACIT_CLI_TRY(const KnownContexts contexts, ReadKnownContexts(arguments.known));
  const auto found = contexts.named.find(asked.empty() ? contexts.current : asked);
  if (found != contexts.named.end()) return Merged(found->second, arguments);
  std::error_code ignored;
  if (asked.empty() || std::filesystem::exists(arguments.context, ignored)) return arguments;
  return UsageFailure(Excerpt(asked) + " is neither the name of a context nor a directory", "tacit context list");
}

}  // namespace tacit::cli
