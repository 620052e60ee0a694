// mayfly-dataplane: the one process that links DPDK. Started by the keeper (runtime/keeper/
// protocol.h says how); its main thread becomes the vSwitch lcore.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <new>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "runtime/dataplane/control.h"
#include "runtime/keeper/protocol.h"

namespace mayfly {
namespace {

struct Arguments {
  int keeper_fd = -1;
  int config_fd = -1;
  std::string run_dir;
};

bool parse_arguments(int argc, char** argv, Arguments& to) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--keeper-fd") to.keeper_fd = atoi(argv[i + 1]);
    if (name == "--config-fd") to.config_fd = atoi(argv[i + 1]);
    if (name == "--run-dir") to.run_dir = argv[i + 1];
  }
  return to.keeper_fd >= 0 && to.config_fd >= 0 && !to.run_dir.empty();
}

absl::StatusOr<Config> read_config(int fd) {
  struct stat st;
  if (fstat(fd, &st) != 0) return absl::InternalError("the configuration descriptor is not open");
  std::vector<uint8_t> bytes(static_cast<size_t>(st.st_size));
  if (pread(fd, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return absl::InternalError("the configuration cannot be read");
  return from_cbor(bytes);
}

RegionHeader header_for(const Config& config, const BindRegion& bind, const Arena& arena,
                        uint64_t tsc_hz) {
  RegionHeader h{};
  h.dispatch = config.dispatch;
  h.downstream = config.downstream;
  h.tsc_hz = tsc_hz;
  for (const NfConfig& nf : config.nfs) h.slot_count += nf.pool.max;
  h.ring_entries = config.ring_entries;
  h.small_count = arena.small_count();
  h.jumbo_count = arena.buffer_count() - arena.small_count();
  h.core_count = static_cast<uint32_t>(config.nf_cores.size());
  h.baton_budget = config.baton.budget;
  h.baton_reports_held = config.baton.order == BatonOrder::weighted;
  h.baton_idle_cycles = TscRate(tsc_hz).cycles(config.baton.idle).n;
  lay_out(h);
  h.bind_bytes = bind.bytes();
  h.arena_bytes = arena.bytes();
  return h;
}

absl::StatusOr<SealedMemory> create_control_region(const RegionHeader& header, Huge huge) {
  if (huge != Huge::off) {
    auto memory = SealedMemory::create("mayfly-control", header.control_bytes, true);
    if (memory.ok() || huge == Huge::on) return memory;
  }
  return SealedMemory::create("mayfly-control", header.control_bytes, false);
}

// The control thread and whatever it starts keep off the vSwitch's CPU.
void keep_off(CoreId vswitch_core) {
  cpu_set_t others;
  CPU_ZERO(&others);
  const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  for (long cpu = 0; cpu < cpus; ++cpu)
    if (cpu != raw(vswitch_core)) CPU_SET(cpu, &others);
  if (CPU_COUNT(&others) != 0) pthread_setaffinity_np(pthread_self(), sizeof others, &others);
}

// Everything of a dataplane, in the order in which it is made.
absl::StatusOr<int> run(const Arguments& arguments) {
  auto config = read_config(arguments.config_fd);
  if (!config.ok()) return config.status();
  if (absl::Status s = start_eal(*config, absl::StrCat("mayfly-", config->name)); !s.ok()) return s;
  const uint64_t tsc_hz = measure_tsc_hz();
  auto arena = Arena::create({config->packets, config->jumbo_packets,
                              config->hugepages != Huge::off, config->hugepages == Huge::on});
  if (!arena.ok()) return arena.status();
  auto bind = BindRegion::create(config->bind_bytes);
  if (!bind.ok()) return bind.status();
  const RegionHeader header = header_for(*config, *bind, **arena, tsc_hz);
  auto region = create_control_region(header, config->hugepages);
  if (!region.ok()) return region.status();
  *reinterpret_cast<RegionHeader*>(region->base()) = header;
  const ControlView control(region->base(), header);

  std::vector<std::unique_ptr<Port>> ports;
  for (const PortConfig& p : config->ports) {
    auto port = open_port(p, static_cast<PortId>(ports.size()), **arena, tsc_hz);
    if (!port.ok())
      return absl::InvalidArgumentError(
          absl::StrCat(config->file, ":", p.line, ": ", std::string(port.status().message())));
    ports.push_back(*std::move(port));
  }

  std::string notice;
  const auto waker = make_waker(config->dispatch, header.slot_count, &notice);
  if (!notice.empty())
    (void)send_message(arguments.keeper_fd, {{"op", "notice"}, {"message", notice}});
  const int attention_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  VSwitch vswitch({&*config, arena->get(), control, &ports, waker.get(), TscRate(tsc_hz),
                   attention_fd});
  int exit_code = 1;
  std::thread control_thread([&] {
    keep_off(config->vswitch_core);
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kControlNice);
    Control thread({&*config, &vswitch, arena->get(), control, region->fd(), &*bind, waker.get(),
                    &ports, TscRate(tsc_hz), arguments.keeper_fd, attention_fd,
                    arguments.run_dir});
    exit_code = thread.run();
  });
  vswitch.run();
  control_thread.join();
  ports.clear();
  arena->reset();
  stop_eal();
  return exit_code;
}

int main(int argc, char** argv) {
  Arguments arguments;
  if (!parse_arguments(argc, argv, arguments)) {
    fprintf(stderr, "mayfly-dataplane is started by `mayfly run`, not by hand\n");
    return 2;
  }
  // Before any thread exists: the control thread takes these from a signalfd.
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigaddset(&blocked, SIGINT);
  pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  absl::StatusOr<int> exit_code = 1;
  try {
    exit_code = run(arguments);
  } catch (const std::bad_alloc&) {  // the tables are sized by the configuration, and made at start
    exit_code = absl::ResourceExhaustedError(
        "not enough memory for the tables of this configuration; lower flow_table, memory.packets "
        "or the sum of pool.max");
  }
  if (exit_code.ok()) return *exit_code;
  (void)send_message(arguments.keeper_fd,
                     {{"op", "error"}, {"message", std::string(exit_code.status().message())}});
  return 2;
}

}  // namespace
}  // namespace mayfly

int main(int argc, char** argv) { return mayfly::main(argc, argv); }
