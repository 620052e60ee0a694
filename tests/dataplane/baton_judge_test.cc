// Who keeps the baton too long, judged by real processes that burn CPU, sleep, are stopped or
// starve.
#include "runtime/dataplane/baton_judge.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <thread>

namespace mayfly {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

class Child {
 public:
  explicit Child(const std::function<void()>& life) {
    const pid_t parent = getpid();
    pid = fork();
    if (pid != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent) life();
    _exit(0);
  }
  ~Child() {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  uint64_t cpu_ns() const {
    clockid_t clock;
    timespec t{};
    clock_getcpuclockid(pid, &clock);
    clock_gettime(clock, &t);
    return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
  }
  char state() const {
    char path[32], text[64] = {};
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE* file = fopen(path, "re");
    if (file == nullptr) return 0;
    [[maybe_unused]] const size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    return strrchr(text, ')')[2];
  }
  void until(char wanted) const {
    while (state() != wanted) std::this_thread::sleep_for(milliseconds(1));
  }
  pid_t pid;
};

void burn() {
  for (;;) {
  }
}
void sleep_for_ever() {
  for (;;) pause();
}

class BatonJudgeTest : public testing::Test {
 protected:
  ~BatonJudgeTest() override { LowWeight::remove_group(name_); }

  const std::string name_ = "judge-test-" + std::to_string(getpid());
  BatonConfig config_;  // a slice of 2 ms
  LowWeight low_weight_{name_};
  BatonJudge judge_{config_, 2, low_weight_};
  BatonSuspect suspect_{0, SlotId{5}, BatonHead::make(1, false, 7)};

  // In the group, or where there can be none, at nice 19.
  bool has_low_weight(pid_t pid) const {
    std::ifstream file("/proc/" + std::to_string(pid) + "/cgroup");
    const std::string groups{std::istreambuf_iterator<char>(file), {}};
    return groups.find(name_) != std::string::npos ||
           getpriority(PRIO_PROCESS, static_cast<id_t>(pid)) == 19;
  }
  BatonVerdict look(pid_t pid) { return judge_.look(0, suspect_, pid, Clock::now()); }
};

TEST_F(BatonJudgeTest, WhoBurnsASliceIsGuilty) {
  const Child child(burn);
  const uint64_t before = child.cpu_ns();
  EXPECT_EQ(look(child.pid), BatonVerdict::wait);
  const auto patience = Clock::now() + std::chrono::seconds(60);
  while (look(child.pid) == BatonVerdict::wait) {
    ASSERT_LT(Clock::now(), patience);
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_GE(child.cpu_ns() - before, 2'000'000u);
}

TEST_F(BatonJudgeTest, WhoSleepsIsGuiltyAtTheSecondLook) {
  const Child child(sleep_for_ever);
  child.until('S');
  EXPECT_EQ(look(child.pid), BatonVerdict::wait) << "suspected";
  EXPECT_EQ(look(child.pid), BatonVerdict::wait) << "seen asleep once: it may be about to run";
  EXPECT_EQ(look(child.pid), BatonVerdict::revoke);
}

TEST_F(BatonJudgeTest, WhoIsStoppedLikewise) {
  const Child child(burn);
  kill(child.pid, SIGSTOP);
  child.until('T');
  EXPECT_EQ(look(child.pid), BatonVerdict::wait);
  EXPECT_EQ(look(child.pid), BatonVerdict::wait);
  EXPECT_EQ(look(child.pid), BatonVerdict::revoke);
}

TEST_F(BatonJudgeTest, WhoIsGoneAtOnce) {
  pid_t pid;
  {
    const Child child(sleep_for_ever);
    pid = child.pid;
  }
  EXPECT_EQ(look(pid), BatonVerdict::revoke);
  EXPECT_EQ(look(0), BatonVerdict::revoke) << "no process at all";
}

// On a core that belongs to somebody else it gets hardly any time: that is not its fault.
TEST_F(BatonJudgeTest, WhoStarvesIsNotGuilty) {
  config_.slice = seconds(1);
  const auto on_cpu_0 = [] {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(0, &cpus);
    sched_setaffinity(0, sizeof cpus, &cpus);
  };
  const Child hog([&] { on_cpu_0(), burn(); });
  const Child child([&] {
    on_cpu_0();
    const sched_param none{};
    sched_setscheduler(0, SCHED_IDLE, &none);
    burn();
  });
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(look(child.pid), BatonVerdict::wait);
    std::this_thread::sleep_for(milliseconds(1));
  }
}

TEST_F(BatonJudgeTest, AnotherHeadIsAnotherCase) {
  const Child child(sleep_for_ever);
  child.until('S');
  for (uint32_t i = 0; i < 10; ++i) {
    suspect_.head = BatonHead::make(1, false, i);
    EXPECT_EQ(look(child.pid), BatonVerdict::wait);
    EXPECT_EQ(look(child.pid), BatonVerdict::wait);
  }
}

TEST_F(BatonJudgeTest, IsBusyWhileThereIsACase) {
  const Child child(burn);
  EXPECT_FALSE(judge_.busy());
  look(child.pid);
  judge_.look(1, suspect_, child.pid, Clock::now());
  EXPECT_TRUE(judge_.busy());
  judge_.look(0, std::nullopt, 0, Clock::now());
  EXPECT_TRUE(judge_.busy());
  judge_.look(1, std::nullopt, 0, Clock::now());
  EXPECT_FALSE(judge_.busy());
}

TEST_F(BatonJudgeTest, PunishmentIsALowWeightUntilItBehaves) {
  if (geteuid() != 0) GTEST_SKIP() << "raising a weight again needs root";
  const Child child(sleep_for_ever);
  const auto now = Clock::now();
  EXPECT_FALSE(judge_.punish(child.pid, now));
  EXPECT_TRUE(has_low_weight(child.pid));
  EXPECT_EQ(judge_.in_low_weight(), 1u);
  judge_.look(0, std::nullopt, 0, now + milliseconds(900));
  EXPECT_TRUE(has_low_weight(child.pid));
  judge_.look(0, std::nullopt, 0, now + milliseconds(1100));
  EXPECT_FALSE(has_low_weight(child.pid));
  EXPECT_EQ(judge_.in_low_weight(), 0u);
}

TEST_F(BatonJudgeTest, ALowWeightIsNoExcuseForHavingNoTime) {
  const Child child(burn);
  judge_.punish(child.pid, Clock::now());
  EXPECT_EQ(look(child.pid), BatonVerdict::revoke) << "at the first look";
}

TEST_F(BatonJudgeTest, TooManyStrikesAreTheEnd) {
  const Child child(sleep_for_ever);
  for (uint32_t i = 1; i < config_.restart_after; ++i)
    ASSERT_FALSE(judge_.punish(child.pid, Clock::now())) << i;
  EXPECT_TRUE(judge_.punish(child.pid, Clock::now()));
  EXPECT_FALSE(judge_.punish(child.pid, Clock::now())) << "counted anew";
}

TEST_F(BatonJudgeTest, ByPolicyNobodyIsRestarted) {
  config_.restart_after = 0;
  const Child child(sleep_for_ever);
  for (uint32_t i = 0; i < 1000; ++i) ASSERT_FALSE(judge_.punish(child.pid, Clock::now())) << i;
}

}  // namespace
}  // namespace mayfly
