// The keeper against a peer that speaks the protocol by a script (scripted_peer.cc). What it does
// with the real dataplane is in tests/e2e.
#include "runtime/keeper/keeper.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "nlohmann/json.hpp"
#include "runtime/keeper/run_directory.h"

namespace mayfly {
namespace {

namespace fs = std::filesystem;

struct Outcome {
  int status = -1;
  std::string out, err;
};

// A keeper in a process of its own, as it always is.
class KeeperRun {
 public:
  KeeperRun(const std::string& script, std::optional<Nanos> run_for = {}, bool quiet = false) {
    static int count = 0;
    name_ = "k" + std::to_string(::getpid()) + "-" + std::to_string(++count);
    base_ = testing::TempDir() + name_;
    EXPECT_EQ(::pipe(out_), 0);
    EXPECT_EQ(::pipe(err_), 0);
    pid_ = ::fork();
    if (pid_ == 0) child(script, run_for, quiet);
    ::close(out_[1]);
    ::close(err_[1]);
  }
  ~KeeperRun() {
    if (pid_ > 0) ::kill(pid_, SIGKILL), ::waitpid(pid_, nullptr, 0);
    ::close(out_[0]);
    ::close(err_[0]);
    for (const char* end : {".notes", ".json"}) fs::remove(base_ + end);
  }

  // Reads standard output up to and including `word`.
  void await(const std::string& word) {
    char byte;
    while (seen_.find(word) == std::string::npos) {
      pollfd p{out_[0], POLLIN, 0};
      ASSERT_EQ(::poll(&p, 1, 20'000), 1) << "no '" << word << "' in: " << seen_;
      ASSERT_EQ(::read(out_[0], &byte, 1), 1) << "no '" << word << "' in: " << seen_;
      seen_ += byte;
    }
  }

  void signal(int number) { ::kill(pid_, number); }
  // Again and again, as somebody at a keyboard would: signals in quick succession count as one.
  void signal_until_it_ends(int number) {
    for (int i = 0; i < 500; ++i) {
      ::kill(pid_, number);
      pollfd p{err_[0], POLLIN, 0};  // an error line, or the end
      if (::poll(&p, 1, 20) == 1) return;
    }
    FAIL() << "still running";
  }

  Outcome wait() {
    Outcome outcome;
    outcome.out = seen_ + drain(out_[0]);
    outcome.err = drain(err_[0]);
    int status;
    EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
    pid_ = -1;
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    return outcome;
  }

  pid_t zygote() {
    pid_t pid = -1;
    std::ifstream(base_ + ".notes") >> pid;
    return pid;
  }
  pid_t dataplane() {
    pid_t pid = -1;
    std::ifstream(run_directory_path(name_) + "/dataplane") >> pid;
    return pid;
  }
  std::string report_path() const { return base_ + ".json"; }
  bool left_a_file() const {
    for (const auto& entry : fs::directory_iterator(fs::path(base_).parent_path())) {
      const std::string file = entry.path().filename();
      if (file.rfind(name_ + ".json", 0) == 0) return true;
    }
    return false;
  }
  bool directory_exists() const { return fs::exists(run_directory_path(name_)); }

 private:
  [[noreturn]] void child(const std::string& script, std::optional<Nanos> run_for, bool quiet) {
    ::dup2(out_[1], 1);
    ::dup2(err_[1], 2);
    for (const int fd : {out_[0], out_[1], err_[0], err_[1]}) ::close(fd);
    ::setenv("MAYFLY_PEER_SCRIPT", script.c_str(), 1);
    ::setenv("MAYFLY_PEER_NOTES", (base_ + ".notes").c_str(), 1);
    Config config;
    config.nf_cores = {CoreId{0}};
    config.packets = 64;
    RunOptions options;
    options.name = name_;
    options.run_for = run_for;
    options.quiet = quiet;
    options.report_path = report_path();
    options.dataplane = SCRIPTED_PEER;
    const int code = run_keeper(config, options);
    std::fflush(nullptr);
    ::_exit(code);
  }
  static std::string drain(int fd) {
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = ::read(fd, buffer, sizeof buffer)) > 0;) text.append(buffer, n);
    return text;
  }

  std::string name_, base_, seen_;
  int out_[2], err_[2];
  pid_t pid_;
};

bool is_alive(pid_t pid) { return pid > 0 && ::kill(pid, 0) == 0; }

TEST(Keeper, ARunEndsByItsTimerWithTableAndReport) {
  KeeperRun run("notice zygote ready stats term report exit0", millis(50));
  const Outcome outcome = run.wait();
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("note: huge pages are off"), std::string::npos);
  EXPECT_NE(outcome.out.find("ready"), std::string::npos);
  EXPECT_NE(outcome.out.find("packets in"), std::string::npos);
  EXPECT_NE(outcome.out.find("every packet"), std::string::npos);
  std::ifstream file(run.report_path());
  EXPECT_EQ(nlohmann::json::parse(file)["packets"]["rx"], 10);
  EXPECT_FALSE(is_alive(run.zygote()));
  EXPECT_FALSE(run.directory_exists());
}

TEST(Keeper, QuietPrintsNothing) {
  KeeperRun run("notice ready stats term report exit0", millis(10), true);
  const Outcome outcome = run.wait();
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out + outcome.err, "");
}

TEST(Keeper, CtrlCDrains) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    KeeperRun run("ready term report exit0");
    run.await("ready");
    run.signal(number);
    const Outcome outcome = run.wait();
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_NE(outcome.out.find("packets in"), std::string::npos);
  }
}

TEST(Keeper, ASecondCtrlCKillsAtOnce) {
  KeeperRun run("zygote ready notice hang");
  run.await("huge pages are off");
  run.signal_until_it_ends(SIGINT);
  const Outcome outcome = run.wait();
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.err.find("without draining"), std::string::npos) << outcome.err;
  EXPECT_FALSE(is_alive(run.zygote()));
}

TEST(Keeper, TheSameSignalTwiceAtOnceIsOne) {
  KeeperRun run("ready term report exit0");
  run.await("ready");
  run.signal(SIGTERM);
  run.signal(SIGINT);
  const Outcome outcome = run.wait();
  EXPECT_EQ(outcome.status, 0) << outcome.err;
}

TEST(Keeper, AStormOfNoticesIsCut) {
  std::string storm = "ready ";
  for (int i = 0; i < 100; ++i) storm += "notice ";
  KeeperRun run(storm + "stats term report exit0", millis(10));
  const Outcome outcome = run.wait();
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("note: 80 more like these"), std::string::npos) << outcome.out;
}

TEST(Keeper, CtrlCWhileStartingStops) {
  KeeperRun run("notice hang");
  run.await("huge pages are off");
  run.signal(SIGINT);
  const Outcome outcome = run.wait();
  EXPECT_EQ(outcome.status, 1);
  EXPECT_FALSE(run.directory_exists());
}

TEST(Keeper, AStartThatCannotWorkIsBadInput) {
  const Outcome outcome = KeeperRun("error exit2").wait();
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.err, "mayfly: port 'lan': no such device\n");
}

TEST(Keeper, AKilledDataplaneIsOneLineAndNothingIsLeft) {
  KeeperRun run("zygote ready notice hang");
  run.await("huge pages are off");
  const pid_t zygote = run.zygote();
  ASSERT_TRUE(is_alive(zygote));
  const auto killed = std::chrono::steady_clock::now();
  ::kill(run.dataplane(), SIGKILL);
  const Outcome outcome = run.wait();
  EXPECT_LT(std::chrono::steady_clock::now() - killed, std::chrono::seconds(1));
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_NE(outcome.err.find("signal 9"), std::string::npos);
  EXPECT_FALSE(is_alive(zygote));
  EXPECT_FALSE(run.directory_exists());
  EXPECT_FALSE(fs::exists(run.report_path()));
}

TEST(Keeper, AKilledKeeperTakesEverybodyAlong) {
  KeeperRun run("zygote ready notice hang");
  run.await("huge pages are off");
  const pid_t zygote = run.zygote(), dataplane = run.dataplane();
  ASSERT_TRUE(is_alive(zygote) && is_alive(dataplane));
  run.signal(SIGKILL);
  // wait() reads standard error to its end, which comes when its last holder is dead.
  EXPECT_EQ(run.wait().status, -SIGKILL);
  EXPECT_TRUE(run.directory_exists());
  EXPECT_EQ(KeeperRun("ready term report exit0", millis(10)).wait().status, 0);
  EXPECT_FALSE(run.directory_exists()) << "the next start clears it, whatever its own name";
  EXPECT_FALSE(run.left_a_file());
}

TEST(Keeper, ZygotesThatFailOrStopAreReported) {
  KeeperRun run("badzygote zygote stopzygote ready term report exit0", millis(10));
  const Outcome outcome = run.wait();
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("nf bad: cannot start /no/such"), std::string::npos) << outcome.out;
}

TEST(Keeper, OddEndsAreFailures) {
  EXPECT_EQ(KeeperRun("ready exit3").wait().status, 1);
  const Outcome silent = KeeperRun("ready exit0").wait();
  EXPECT_EQ(silent.status, 1);
  EXPECT_NE(silent.err.find("without a report"), std::string::npos);
  const Outcome garbage = KeeperRun("garbage hang").wait();
  EXPECT_EQ(garbage.status, 1);
  EXPECT_NE(garbage.err.find("not a JSON object"), std::string::npos);
}

TEST(Keeper, ALossIsAFailureEvenIfTheRunWasNot) {
  const Outcome outcome = KeeperRun("ready term lossy exit0", millis(10)).wait();
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.out.find("1 packets unaccounted"), std::string::npos) << outcome.out;
}

}  // namespace
}  // namespace mayfly
