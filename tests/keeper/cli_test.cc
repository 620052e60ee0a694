// The shipped executable: what it says and returns for lines that never reach a dataplane.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <string>

namespace mayfly {
namespace {

struct Outcome {
  int status = -1;
  std::string text;
};

Outcome mayfly(const std::string& arguments) {
  Outcome outcome;
  FILE* pipe = ::popen((std::string(MAYFLY_EXECUTABLE " ") + arguments + " 2>&1").c_str(), "r");
  std::array<char, 4096> buffer;
  for (size_t n; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    outcome.text.append(buffer.data(), n);
  }
  const int status = ::pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

struct Row {
  const char* arguments;
  int status;
  const char* words;
};

TEST(CommandLine, Rows) {
  const Row rows[] = {
      {"--help", 0, "Usage"},
      {"run --help", 0, "--report"},
      {"version", 0, "mayfly "},
      {"", 2, "subcommand"},
      {"--version", 0, "mayfly "},
      {"soar", 2, "'soar'"},
      {"run", 2, "config"},
      {"run /no/such.yaml", 2, "/no/such.yaml"},
      {"run x.yaml --for 10", 2, "--for 10"},
      {"run x.yaml --for soon", 2, "--for soon"},
      {"run x.yaml --for", 2, "--for"},
      {"demo --tenants many", 2, "many"},
      {"demo --chain 17", 2, "--chain 17"},
      {"demo --rate 10", 2, "--rate 10"},
      {"demo --tenants 0", 2, "--tenants 0"},
      {"demo --print --dispatch eventfd", 0, "dispatch: eventfd"},
      {"demo --dispatch telepathy", 2, "telepathy"},
      {"demo --tenants 1 --name ../x", 2, "'../x'"},
      {"stats --name no-such-run", 2, "run"},
      {"nf", 2, "subcommand"},
      {"nf ls --name no-such-run", 2, "run"},
      {"flow ls --name no-such-run --json", 2, "run"},
      {"flow ls --limit x", 2, "x"},
      {"tenant add", 2, "subject"},
      {"tenant add acme lim.mbps=20", 2, "--key"},
      {"tenant add acme --key 101 --name no-such-run", 2, "run"},
      {"tenant rm", 2, "names"},
      {"tenant rm acme --name no-such-run", 2, "run"},
      {"--help", 0, "compare"},
      {"run /no/such.yaml --check", 2, "/no/such.yaml"},
      {"doctor --json", 0, "dispatch_default"},
      {"sweep --help", 0, "--aging"},
      {"sweep", 2, "--preset"},
      {"sweep --nfs", 2, "--nfs"},
      {"sweep --rate 80", 2, "has no unit"},
  };
  for (const Row& row : rows) {
    const Outcome outcome = mayfly(row.arguments);
    EXPECT_EQ(outcome.status, row.status) << row.arguments << "\n" << outcome.text;
    EXPECT_NE(outcome.text.find(row.words), std::string::npos) << row.arguments << "\n"
                                                               << outcome.text;
    if (row.status == 2) {
      EXPECT_EQ(std::count(outcome.text.begin(), outcome.text.end(), '\n'), 1) << outcome.text;
      EXPECT_EQ(outcome.text.find("mayfly: "), 0u) << outcome.text;
    }
  }
}

TEST(CommandLine, ConfigurationErrorsNameFileAndLine) {
  const std::string file = testing::TempDir() + "bad" + std::to_string(::getpid()) + ".yaml";
  std::ofstream(file) << "cores: { vswitch: 0, nfs: [0] }\nbogus: 1\n";
  const Outcome outcome = mayfly("run " + file);
  EXPECT_EQ(outcome.status, 2);
  EXPECT_NE(outcome.text.find(file + ":2"), std::string::npos) << outcome.text;
  std::remove(file.c_str());
}

TEST(CommandLine, ExperimentsNeedPython) {
  const std::string path = ::getenv("PATH") != nullptr ? ::getenv("PATH") : "";
  ::setenv("PATH", "/nowhere", 1);
  for (const char* command : {"sweep", "report", "tune", "compare"}) {
    const Outcome outcome = mayfly(command);
    EXPECT_EQ(outcome.status, 1) << outcome.text;
    EXPECT_NE(outcome.text.find("needs python3"), std::string::npos) << outcome.text;
    EXPECT_EQ(std::count(outcome.text.begin(), outcome.text.end(), '\n'), 1) << outcome.text;
  }
  ::setenv("PATH", path.c_str(), 1);
}

TEST(CommandLine, TheDoctorAnswersEveryTopic) {
  const Outcome outcome = mayfly("doctor");
  for (const char* topic : {"kernel", "DPDK", "NF images", "cores", "memory", "huge pages", "THP",
                            "processes", "descriptors", "kernel.pid_max", "cgroups"}) {
    EXPECT_NE(outcome.text.find(topic), std::string::npos) << topic << "\n" << outcome.text;
  }
}

}  // namespace
}  // namespace mayfly
