// Real mTLS clients, thousands of them on one thread, against a server that runs. benchmarks/ingest.py sets the scene.

#include <signal.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <string_view>

#include "benchmarks/load/fleet.h"
#include "benchmarks/load/scenarios.h"

namespace tacit::load {
namespace {

constexpr std::string_view kUsage = R"(usage: load_generator COMMAND --directory DIR [--OPTION VALUE ...]
  prepare  --clients N [--trust-domain NAME]   devices with certificates, while the server does not run
  rounds   --port P --server PID --clients N --task T --parameters D [--rounds R] [--warm-up W] [--fresh 1]
           [--mischief-every M]
  sink     --clients N --parameters D [--rounds R] [--fresh 1]      the same uploads, received by TLS alone
  idle     --port P --server PID --clients N --task T [--check-ins K]
  storm    --port P --server PID --clients N [--reference 1]
Prints one line of JSON.
)";

class Options {
 public:
  static Result<Options> Parse(std::span<char* const> words) {
    Options options;
    for (std::size_t i = 0; i + 1 < words.size(); i += 2) {
      const std::string_view name = words[i];
      if (!name.starts_with("--")) return Fail(ErrorCode::kInvalidArgument, "not an option: " + std::string(name));
      options.values_[std::string(name.substr(2))] = words[i + 1];
    }
    if (words.size() % 2 != 0) return Fail(ErrorCode::kInvalidArgument, "an option without its value");
    return options;
  }
  [[nodiscard]] std::string Text(const std::string& name, std::string otherwise = {}) const {
    const auto found = values_.find(name);
    return found == values_.end() ? std::move(otherwise) : found->second;
  }
  [[nodiscard]] std::size_t Number(const std::string& name, std::size_t otherwise = 0) const {
    const std::string text = Text(name);
    std::size_t number = otherwise;
    if (!text.empty()) std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
  }

 private:
  std::map<std::string, std::string> values_;
};

Scene SceneOf(const Options& options) {
  return {.directory = options.Text("directory"),
          .port = static_cast<std::uint16_t>(options.Number("port")),
          .server = static_cast<pid_t>(options.Number("server")),
          .clients = options.Number("clients")};
}

RoundsOptions RoundsOf(const Options& options) {
  return {.task = options.Text("task"),
          .rounds = options.Number("rounds", 1),
          .warm_up = options.Number("warm-up"),
          .parameters = options.Number("parameters"),
          .keep_alive = options.Number("fresh") > 0 ? KeepAlive::kNo : KeepAlive::kYes,
          .mischief_every = options.Number("mischief-every")};
}

Result<nlohmann::json> Run(std::string_view command, const Options& options) {
  const Scene scene = SceneOf(options);
  if (command == "prepare") {
    TACIT_TRY_VOID(PrepareFleet({.directory = scene.directory,
                                 .trust_domain = options.Text("trust-domain", "tacit"),
                                 .devices = scene.clients}));
    return nlohmann::json{{"clients", scene.clients}};
  }
  if (command == "rounds") return RunRounds(scene, RoundsOf(options));
  if (command == "sink") return RunSink(scene, RoundsOf(options));
  if (command == "idle")
    return RunIdle(scene, {.task = options.Text("task"), .check_ins = options.Number("check-ins")});
  if (command == "storm") return RunStorm(scene, {.reference = options.Number("reference") > 0});
  return Fail(ErrorCode::kInvalidArgument, std::string(kUsage));
}

int Main(std::span<char* const> words) {
  ::signal(SIGPIPE, SIG_IGN);
  const std::string_view command = words.size() > 1 ? words[1] : "";
  const auto options = Options::Parse(words.subspan(std::min<std::size_t>(words.size(), 2)));
  const auto outcome = options ? Run(command, *options) : Result<nlohmann::json>(std::unexpected(options.error()));
  if (!outcome) {
    std::fprintf(stderr, "load_generator: %s\n", outcome.error().message.c_str());
    return 1;
  }
  std::cout << outcome->dump() << '\n';
  return 0;
}

}  // namespace
}  // namespace tacit::load

int main(int argc, char** argv) {
  return tacit::load::Main({argv, static_cast<std::size_t>(argc)});
}
