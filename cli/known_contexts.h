#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cli/arguments.h"
#include "cli/failure.h"

namespace tacit::cli {

/// What a user calls servers: for each name, what would otherwise be said by flags.
struct KnownContexts {
  std::string current;  ///< Asked when nothing else is said; empty: none.
  std::map<std::string, ConnectionArguments> named;
};

/// Up to 64 of a-z, 0-9, '.', '_' and '-', with a letter or digit first: nothing that could be a path.
bool IsContextName(std::string_view text);

/// tacit/contexts.json below $XDG_CONFIG_HOME, or else below $HOME/.config; empty when neither says an absolute path.
std::filesystem::path KnownContextsFile(const char* xdg_config_home, const char* home);

/// Empty for a file that is not there. Errors: kUsage for one that is not what WriteKnownContexts writes, or that
/// others could read: who may write it decides which server is told what.
Outcome<KnownContexts> ReadKnownContexts(const std::filesystem::path& file);
/// Mode 0600, in one step; its directory is made when it is missing.
Outcome<void> WriteKnownContexts(const std::filesystem::path& file, const KnownContexts& contexts);

/// The names, for completion: none when the file cannot be used.
std::vector<std::string> NamesOfKnownContexts(const std::filesystem::path& file);

/// What is said by the named context, or by the current one where neither a context nor a server is said, and of that
/// what the other flags do not replace. The result's `context` is a directory, or empty.
/// Errors: kUsage for what is neither a name nor a directory; those of ReadKnownContexts.
Outcome<ConnectionArguments> ResolveContext(const ConnectionArguments& arguments);

}  // namespace tacit::cli
