// What an NF instance costs to make: a real mayfly-zygote, driven over its socket as the dataplane
// drives it, forks 1,000 instances of the `signature` image. Interleaved with it, in batches of the
// same size:
//
//   exec   fork() and exec() of a trivial static binary, from a process with hardly any memory
//   heap   fork() of a process with 100 MiB on its heap (as a fork of the dataplane would be)
//
// Two times per batch, each divided by its size: `made`, until the parent says that all are made,
// and `up`, until all of them run (an instance: until it is parked, ready for its first packet).
// Forking and forked processes share CPU 1; this program, which waits, has CPU 0. The instances
// stay to the end; the alternatives are killed after each batch (which favours them).
//
// Checked: every instance is parked, under the pid that the zygote named, and none is left behind.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "nfpool/zygote_protocol.h"
#include "runtime/abi/region.h"
#include "runtime/arena/memory.h"
#include "runtime/base/clock.h"

namespace mayfly {
namespace {

constexpr uint32_t kArenaPackets = 65536;  // as in a default run: the mapping that a fork inherits
constexpr size_t kHeapBytes = 100u << 20;
constexpr int kPatienceMs = 10'000;

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "process_cost: %s (%s)\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

void pin(uint32_t cpu) {  // on a host with one CPU everything shares it
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
}

// Milliseconds per process of one batch.
struct Cost {
  double made_ms, up_ms;
};

// Something that makes processes in batches.
class Maker {
 public:
  virtual ~Maker() = default;
  virtual Cost make(uint32_t count) = 0;
};

// ---------------------------------------------------------------------------------------------
// The zygote

class ZygoteMaker : public Maker {
 public:
  explicit ZygoteMaker(uint32_t instance_count) {
    make_regions(instance_count);
    start();
    ZygoteMessage message;
    receive(message);
    if (message.op != ZygoteOp::ready) fail("the zygote did not become ready");
  }
  // The zygote ends when its socket closes, and takes its instances along.
  ~ZygoteMaker() override {
    close(socket_);
    waitpid(zygote_, nullptr, 0);
    for (int pid : pids_)
      for (int tries = 0; kill(pid, 0) == 0; ++tries) {
        if (tries > kPatienceMs) fail("instances outlive their zygote");
        usleep(1000);
      }
  }

  Cost make(uint32_t count) override {
    const auto begin = Clock::now();
    const uint32_t first = static_cast<uint32_t>(pids_.size());
    for (uint32_t made = 0; made < count;) {
      ZygoteMessage ask{.op = ZygoteOp::fork, .core = 1};
      while (ask.count < kForkBatchMax && made + ask.count < count) {
        ask.slots[ask.count] = first + made + ask.count;
        ++ask.count;
      }
      if (send(socket_, &ask, sizeof ask, 0) != sizeof ask) fail("asking the zygote");
      ZygoteMessage answer;
      receive(answer);
      if (answer.op != ZygoteOp::forked || answer.status != 0) fail("the zygote could not fork");
      pids_.insert(pids_.end(), answer.pids, answer.pids + answer.count);
      made += ask.count;
    }
    const auto made = Clock::now();
    for (uint32_t s = first; s < first + count; ++s) await_parked(SlotId{s}, begin);
    const auto up = Clock::now();
    for (uint32_t s = first; s < first + count; ++s) check(SlotId{s});
    const auto each = [&](Clock::time_point end) {
      return std::chrono::duration<double, std::milli>(end - begin).count() / count;
    };
    return {each(made), each(up)};
  }
  bool huge() const { return arena_.huge(); }

 private:
  void make_regions(uint32_t slots) {
    RegionHeader h{};
    h.dispatch = Dispatch::futex;
    h.tsc_hz = measure_tsc_hz();
    h.slot_count = slots;
    h.ring_entries = kRingEntriesDefault;
    h.small_count = kArenaPackets;
    h.core_count = 1;
    h.magic = kRegionMagic;
    lay_out(h);
    h.bind_bytes = kHugePageBytes;
    arena_ = region("arena", h.arena_bytes, true);
    memory_ = region("control", h.control_bytes, true);
    bind_ = region("bind", h.bind_bytes, false);
    std::memcpy(memory_.base(), &h, sizeof h);
    control_ = ControlView(memory_.base(), h);
  }
  static SealedMemory region(const char* name, uint64_t bytes, bool try_huge) {
    auto memory = SealedMemory::create(name, bytes, try_huge);
    if (!memory.ok() && try_huge) memory = SealedMemory::create(name, bytes, false);
    if (!memory.ok()) fail(std::string(memory.status().message()));
    return *std::move(memory);
  }

  void start() {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) fail("socketpair");
    const int args = memfd_create("args", MFD_CLOEXEC);
    const int given[] = {pair[1], memory_.fd(), bind_.fd(), arena_.fd(), args};
    zygote_ = fork();
    if (zygote_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      pin(1);
      int high[5];  // out of the way of 3..7 first
      for (int i = 0; i < 5; ++i) high[i] = fcntl(given[i], F_DUPFD, 32);
      for (int i = 0; i < 5; ++i) dup2(high[i], kZygoteSocketFd + i);
      close_range(kZygoteArgsFd + 1, ~0u, 0);
      execl(MAYFLY_BIN "/mayfly-zygote", "mayfly-zygote", MAYFLY_NF_IMAGES "/signature.so", "sig",
            nullptr);
      fail(MAYFLY_BIN "/mayfly-zygote");
    }
    socket_ = pair[0];
    close(pair[1]);
    close(args);
  }

  void receive(ZygoteMessage& message) {
    pollfd waiting{socket_, POLLIN, 0};
    if (poll(&waiting, 1, kPatienceMs) != 1 ||
        recv(socket_, &message, sizeof message, 0) != sizeof message)
      fail("no answer from the zygote");
  }

  void await_parked(SlotId slot, Clock::time_point begin) {
    while (control_.wake(slot).word.load(std::memory_order_acquire) != kAsleep) {
      if (Clock::now() - begin > std::chrono::milliseconds(kPatienceMs))
        fail("an instance does not come up");
      __builtin_ia32_pause();
    }
  }
  void check(SlotId slot) {
    const uint32_t pid = control_.slot(slot).from_nf.pid.load(std::memory_order_relaxed);
    if (static_cast<int>(pid) != pids_[index(slot)]) fail("an instance under another pid");
  }

  SealedMemory arena_, memory_, bind_;
  ControlView control_;
  int socket_ = -1;
  pid_t zygote_ = 0;
  std::vector<int> pids_;
};

// ---------------------------------------------------------------------------------------------
// The alternatives

// A parent in a process of its own: for each number it reads, it forks that many children and
// answers; for 0 it kills them. Each child writes one byte to a pipe once it runs.
class ForkMaker : public Maker {
 public:
  enum class Kind { exec, heap };

  explicit ForkMaker(Kind kind) {
    int pair[2], up[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0 || pipe(up) != 0) fail("socketpair");
    parent_ = fork();
    if (parent_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      pin(1);
      socket_ = pair[1];
      up_ = up[1];
      close(pair[0]);
      close(up[0]);
      serve(kind);
    }
    socket_ = pair[0];
    up_ = up[0];
    close(pair[1]);
    close(up[1]);
    answer();
  }
  ~ForkMaker() override {
    kill(parent_, SIGKILL);
    waitpid(parent_, nullptr, 0);
    close(socket_);
    close(up_);
  }

  Cost make(uint32_t count) override {
    const auto begin = Clock::now();
    ask(count);
    answer();
    const auto made = Clock::now();
    std::vector<char> bytes(count);
    for (uint32_t n = 0; n < count;) {
      pollfd waiting{up_, POLLIN, 0};
      if (poll(&waiting, 1, kPatienceMs) != 1) fail("a child does not come up");
      n += static_cast<uint32_t>(std::max<ssize_t>(0, read(up_, bytes.data(), count - n)));
    }
    const auto up = Clock::now();
    ask(0);
    answer();
    const auto each = [&](Clock::time_point end) {
      return std::chrono::duration<double, std::milli>(end - begin).count() / count;
    };
    return {each(made), each(up)};
  }

 private:
  void ask(uint32_t count) {
    if (send(socket_, &count, sizeof count, MSG_NOSIGNAL) != sizeof count) fail("asking");
  }
  void answer() {
    uint32_t any;
    pollfd waiting{socket_, POLLIN, 0};
    if (poll(&waiting, 1, kPatienceMs) != 1 || recv(socket_, &any, sizeof any, 0) != sizeof any)
      fail("no answer");
  }

  [[noreturn]] void serve(Kind kind) {
    if (kind == Kind::heap) {
      // In pieces that malloc takes from its heap, each page written.
      for (size_t bytes = 0; bytes < kHeapBytes; bytes += 4096)
        std::memset(std::malloc(4096 - 16), 1, 4096 - 16);
    }
    ask(0);
    std::vector<pid_t> children;
    for (uint32_t count; recv(socket_, &count, sizeof count, 0) == sizeof count; ask(count)) {
      if (count == 0) {
        for (pid_t child : children) kill(child, SIGKILL);
        for (pid_t child : children) waitpid(child, nullptr, 0);
        children.clear();
      }
      for (uint32_t i = 0; i < count; ++i) {
        const pid_t child = fork();
        if (child == 0) become_child(kind);
        if (child < 0) fail("fork");
        children.push_back(child);
      }
    }
    _exit(0);
  }

  [[noreturn]] void become_child(Kind kind) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (kind == Kind::exec) {
      dup2(up_, 3);
      execl(MAYFLY_TRIVIAL, "trivial", nullptr);
      _exit(1);
    }
    if (write(up_, "", 1) != 1) _exit(1);
    for (;;) pause();
  }

  pid_t parent_ = 0;
  int socket_ = -1;
  int up_ = -1;
};

// ---------------------------------------------------------------------------------------------

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(q * values.size()))];
}

void print_row(const char* name, const std::vector<Cost>& costs) {
  std::vector<double> made, up;
  for (const Cost& c : costs) made.push_back(c.made_ms), up.push_back(c.up_ms);
  std::printf("  %-34s %7.3f %7.3f %7.3f    %7.3f %7.3f %7.3f\n", name, quantile(made, 0.5),
              quantile(made, 0.99), quantile(made, 1), quantile(up, 0.5), quantile(up, 0.99),
              quantile(up, 1));
}

int run(uint32_t instance_count, uint32_t batch) {
  const uint32_t rounds = instance_count / (batch + 1);
  // The alternatives first: as small as this program can be when they are forked off it.
  ForkMaker exec(ForkMaker::Kind::exec), heap(ForkMaker::Kind::heap);
  ZygoteMaker zygote(instance_count);
  std::printf(
      "process_cost: %u instances, %u rounds of 1 and then %u at once; arena of %u packets "
      "on %s pages\n",
      rounds * (batch + 1), rounds, batch, kArenaPackets, zygote.huge() ? "2 MiB" : "ordinary");
  struct Row {
    const char* name;
    Maker& maker;
    std::vector<Cost> single, batch;
  };
  Row rows[] = {{"zygote, instance", zygote, {}, {}},
                {"fork + exec, trivial static binary", exec, {}, {}},
                {"fork, parent with 100 MiB of heap", heap, {}, {}}};
  for (uint32_t r = 0; r < rounds; ++r) {
    for (Row& row : rows) row.single.push_back(row.maker.make(1));
    for (Row& row : rows) row.batch.push_back(row.maker.make(batch));
  }
  std::printf(
      "ms each                                 made: p50, p99, max         up: p50, p99, max\n");
  for (uint32_t size : {1u, batch}) {
    std::printf("%u at once\n", size);
    for (const Row& row : rows) print_row(row.name, size == 1 ? row.single : row.batch);
  }
  const auto& all = rows[0].batch;
  const size_t part = std::max<size_t>(1, all.size() / 5);
  std::printf("zygote, first and last fifth of the run (does it grow with what runs already?)\n");
  print_row("first", {all.begin(), all.begin() + part});
  print_row("last", {all.end() - part, all.end()});
  return 0;
}

}  // namespace
}  // namespace mayfly

int main(int argc, char** argv) {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  mayfly::pin(0);
  // What ctest gives to every benchmark asks for the smoke size.
  const bool smoke = argc > 1 && std::strncmp(argv[1], "--benchmark_min_time", 20) == 0;
  return smoke ? mayfly::run(33, 10) : mayfly::run(1000, 24);
}
