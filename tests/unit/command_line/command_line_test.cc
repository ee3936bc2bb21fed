#include "common/command_line/command_line.h"

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>

namespace tacit::command_line {
namespace {

using ::testing::HasSubstr;

Result<void> CheckShare(double value) {
  if (value > 0 && value < 1) return {};
  return Fail(ErrorCode::kInvalidArgument, "a share must be above 0 and below 1");
}

enum class Colour : std::uint8_t { kRed = 0, kBlue = 3 };

// A program with a command, an option of each kind, and a group of which one must be given.
class Program {
 public:
  Program() {
    app_.require_subcommand(1);
    app_.fallthrough();
    app_.add_flag("--json", json_);
    CLI::App* const run = app_.add_subcommand("run", "");
    run->add_option("--steps", steps_)->required()->transform(Whole({1, 100}));
    run->add_option("--seed", seed_)->transform(Whole({0, std::numeric_limits<std::uint64_t>::max()}));
    run->add_option("--noise-share", share_)->transform(Real(CheckShare));
    run->add_option("--colour", colour_)->transform(OneOf({{"red", 0}, {"blue", 3}}));
    CLI::App* const watch = app_.add_subcommand("watch", "");
    CLI::Option_group* const choice = watch->add_option_group("data", "");
    choice->add_option("--config", config_);
    choice->require_option(1);
  }

  std::string Complaint(std::initializer_list<const char*> words) {
    std::vector<const char*> argv = {"demo"};
    argv.insert(argv.end(), words);
    try {
      app_.parse(static_cast<int>(argv.size()), argv.data());
    } catch (const CLI::Error& error) {
      return Describe(error, app_);
    }
    return {};
  }

  [[nodiscard]] std::uint64_t steps() const { return steps_; }
  [[nodiscard]] std::uint64_t seed() const { return seed_; }
  [[nodiscard]] double share() const { return share_; }
  [[nodiscard]] Colour colour() const { return colour_; }

 private:
  CLI::App app_{"", "demo"};
  bool json_ = false;
  std::uint64_t steps_ = 0;
  std::uint64_t seed_ = 0;
  double share_ = 0;
  Colour colour_ = Colour::kRed;
  std::string config_;
};

TEST(Whole, TakesDecimalDigitsWithinTheRange) {
  Program program;
  EXPECT_EQ(program.Complaint({"run", "--steps", "010", "--seed", "18446744073709551615", "--noise-share", "1e-3"}),
            "");
  EXPECT_EQ(program.steps(), 10U) << "and not eight";
  EXPECT_EQ(program.seed(), std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(program.share(), 1e-3);
}

TEST(Whole, NamesTheOptionTheValueAndTheRange) {
  for (const std::string bad : {"-3", "0", "101", "1.5", "1e1", "0x10", "", "99999999999999999999", "many"}) {
    EXPECT_EQ(Program().Complaint({"run", "--steps", bad.c_str()}),
              "--steps: '" + bad + "' is not a whole number from 1 to 100");
  }
}

TEST(Real, NamesTheOptionAndWhatIsWrong) {
  for (const char* bad : {"0", "1", "-0.5", "nan", "inf"}) {
    EXPECT_EQ(Program().Complaint({"run", "--steps", "1", "--noise-share", bad}),
              "--noise-share: a share must be above 0 and below 1");
  }
  EXPECT_EQ(Program().Complaint({"run", "--steps", "1", "--noise-share", "0.5x"}),
            "--noise-share: '0.5x' is not a number");
}

TEST(OneOf, TakesItsWordsAndListsThemForAnyOther) {
  Program program;
  EXPECT_EQ(program.Complaint({"run", "--steps", "1", "--colour", "blue"}), "");
  EXPECT_EQ(program.colour(), Colour::kBlue);
  for (const std::string bad : {"loud", "Blue", "3", ""}) {
    EXPECT_EQ(Program().Complaint({"run", "--steps", "1", "--colour", bad.c_str()}),
              "--colour: '" + bad + "' is none of red, blue");
  }
}

TEST(AsksForJson, WhereverTheWordStands) {
  const auto asks = [](std::vector<const char*> argv) {
    return AsksForJson(static_cast<int>(argv.size()), argv.data());
  };
  EXPECT_TRUE(asks({"demo", "--json", "rnu"}));
  EXPECT_TRUE(asks({"demo", "rnu", "--jsn", "--json"}));
  EXPECT_FALSE(asks({"demo", "rnu", "--jsn"}));
}

TEST(Describe, NamesTheUnknownOptionAndWhatIsNear) {
  EXPECT_EQ(Program().Complaint({"run", "--step", "3"}),
            "unknown option '--step' (did you mean '--steps'?); --steps is required");
  EXPECT_EQ(Program().Complaint({"run", "--steps", "3", "--noise=1"}),
            "unknown option '--noise' (did you mean '--noise-share'?)");
  EXPECT_EQ(Program().Complaint({"run", "--steps", "3", "--jsn"}), "unknown option '--jsn' (did you mean '--json'?)");
  EXPECT_EQ(Program().Complaint({"watch", "--cfg", "x"}), "unknown option '--cfg'");
  EXPECT_EQ(Program().Complaint({"watch", "--conf", "x"}), "unknown option '--conf' (did you mean '--config'?)");
}

TEST(Describe, NamesWordsThatNothingTakesInTheirOrder) {
  EXPECT_EQ(Program().Complaint({"run", "--steps", "3", "a", "b", "c"}), "'a', 'b' and 'c' are not expected here");
  EXPECT_EQ(Program().Complaint({"run", "task.toml"}), "'task.toml' is not expected here; --steps is required");
}

TEST(Describe, NamesTheUnknownCommandAndWhatIsNear) {
  EXPECT_EQ(Program().Complaint({"wach"}), "'wach' is not a command of 'demo' (did you mean 'watch'?)");
  EXPECT_THAT(Program().Complaint({}), HasSubstr("subcommand is required"));
}

}  // namespace
}  // namespace tacit::command_line
