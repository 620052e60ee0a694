// mayfly sweep, report, tune, compare: experiments. They are orchestration and statistics around
// this executable, not packet work, and live in a Python package that replaces this process.
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "runtime/cli/commands.h"
#include "runtime/keeper/keeper.h"

namespace mayfly {
namespace {

std::string own_path() {
  char path[PATH_MAX];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
  return n > 0 ? std::string(path, static_cast<size_t>(n)) : std::string();
}

std::string directory_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

// Installed: PREFIX/bin/mayfly and PREFIX/libexec/mayfly/instrument. In a build tree: the sources.
absl::StatusOr<std::string> find_instrument(const std::string& self) {
  const std::string places[] = {
      absl::StrCat(directory_of(directory_of(self)), "/libexec/mayfly/instrument"),
      MAYFLY_INSTRUMENT_SOURCE};
  for (const std::string& place : places)
    if (::access(absl::StrCat(place, "/__main__.py").c_str(), R_OK) == 0) return place;
  return absl::UnavailableError(absl::StrCat("the instrument is neither in ", places[0], " nor in ",
                                             places[1], "; install Mayfly whole"));
}

}  // namespace

int instrument_command(const std::string& command, const std::vector<std::string>& args) {
  const std::string self = own_path();
  const auto folder = find_instrument(self);
  if (!folder.ok()) return report_failure(folder.status());
  ::setenv("MAYFLY", self.c_str(), 1);  // what is measured is this build
  std::vector<std::string> words{"python3", "-B", *folder, command};
  words.insert(words.end(), args.begin(), args.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  const int error = errno;
  return report_failure(absl::UnavailableError(
      error == ENOENT ? absl::StrCat("`mayfly ", command, "` needs python3; install it ",
                                     "(apt-get install python3)")
                      : absl::StrCat("python3: ", std::strerror(error))));
}

}  // namespace mayfly
