#include "tests/unit/keys/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <sstream>

#include <gtest/gtest.h>

#include "common/base/files.h"
#include "tests/support/temp_directory.h"

namespace tacit::testing {
namespace {

std::vector<char*> Arguments(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& each : command) arguments.push_back(const_cast<char*>(each.c_str()));
  arguments.push_back(nullptr);
  return arguments;
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& command) : pid_(-1) {
  const std::vector<char*> arguments = Arguments(command);
  pid_ = ::fork();
  if (pid_ != 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // also when the test is killed
  ::execvp(arguments.front(), arguments.data());
  ::_exit(127);
}

void ChildProcess::Kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  Wait();
}

int ChildProcess::Wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool IsInstalled(const std::string& program) {
  std::istringstream path(std::getenv("PATH"));
  for (std::string directory; std::getline(path, directory, ':');)
    if (::access((directory + "/" + program).c_str(), X_OK) == 0) return true;
  return false;
}

std::string OutputOf(std::vector<std::string> command) {
  const TempDirectory directory;
  const auto output = directory / "output";
  // The shell's only work is to redirect.
  command.insert(command.begin(), {"sh", "-c", R"(exec "$@" >"$0")", output.string()});
  EXPECT_EQ(ChildProcess(command).Wait(), 0) << command[4];
  const auto bytes = ReadFile(output, std::size_t{1} << 20U);
  return bytes ? std::string(AsText(*bytes)) : std::string();
}

}  // namespace tacit::testing
