#include "runtime/dataplane/zygotes.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "runtime/keeper/protocol.h"
#include "runtime/keeper/spawn.h"

namespace mayfly {
namespace {

constexpr uint32_t kOutstandingMax = 2 * kForkBatchMax;
constexpr auto kYoung = std::chrono::seconds(1);       // ended sooner: counts as a failed start
constexpr auto kBackoffFirst = std::chrono::milliseconds(100);
constexpr auto kBackoffMax = std::chrono::seconds(10);

int blob_memfd(const std::vector<uint8_t>& blob) {
  const int fd = memfd_create("mayfly-args", MFD_CLOEXEC);
  if (fd < 0) return -1;
  if (write(fd, blob.data(), blob.size()) != static_cast<ssize_t>(blob.size())) {
    close(fd);
    return -1;
  }
  return fd;
}

std::string describe(int status) {
  if (WIFSIGNALED(status))
    return absl::StrCat("signal ", WTERMSIG(status), " (", strsignal(WTERMSIG(status)), ")");
  return absl::StrCat("exit code ", WEXITSTATUS(status));
}

}  // namespace

Zygotes::Zygotes(const Config& config, Shared shared)
    : config_(config), shared_(std::move(shared)), links_(config.nfs.size()) {
  const uint32_t slots = shared_.control.header().slot_count;
  pids_.resize(slots);
  owners_.resize(slots, kNone<NfId>);
  cores_.resize(slots);
  for (uint32_t s = slots; s-- > 0;) free_slots_.push_back(SlotId{s});
}

Zygotes::~Zygotes() {
  for (Link& link : links_)
    if (link.socket >= 0) close(link.socket);
}

absl::Status Zygotes::start(NfId nf) {
  Link& link = links_[index(nf)];
  const NfConfig& config = config_.nfs[index(nf)];
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return absl::InternalError(absl::StrCat("socketpair: ", strerror(errno)));
  const int args = blob_memfd(config.blob);
  const auto zygote = sibling_executable("mayfly-zygote");
  ++link.generation;
  link.ready = false;
  link.started = std::chrono::steady_clock::now();
  link.restart_at = link.started + kBackoffMax;  // unless it is sent
  if (link.socket >= 0) close(link.socket);
  link.socket = pair[0];
  fcntl(link.socket, F_SETFL, O_NONBLOCK);
  std::vector<int> fds{pair[1]};
  fds.insert(fds.end(), shared_.region_fds.begin(), shared_.region_fds.end());
  fds.push_back(args);
  absl::Status sent = zygote.status();
  if (sent.ok() && args < 0) sent = absl::ErrnoToStatus(errno, "memfd for a zygote's arguments");
  if (sent.ok())
    sent = send_message(shared_.keeper_fd,
                        {{"op", "start_zygote"},
                         {"nf", config.name},
                         {"generation", link.generation},
                         {"argv", {*zygote, config.image_path, config.name}}},
                        fds);
  link.waiting_to_restart = !sent.ok();
  close(pair[1]);
  if (args >= 0) close(args);
  return sent;
}

bool Zygotes::prepare(SlotId slot, uint32_t core, int& wake_fd) {
  Slot& memory = shared_.control.slot(slot);
  memset(static_cast<void*>(&memory), 0, shared_.control.header().slot_bytes);
  WakeEntry& entry = shared_.control.wake(slot);
  memset(static_cast<void*>(&entry), 0, sizeof entry);
  entry.core.store(core, std::memory_order_relaxed);
  cores_[index(slot)] = static_cast<uint8_t>(core);
  const auto fd = shared_.waker->prepare(slot, entry);
  if (!fd.ok()) {
    pending_notice_ = std::string(fd.status().message());
    return false;
  }
  wake_fd = *fd;
  return true;
}

uint32_t Zygotes::fork(NfId nf, uint32_t count) {
  Link& link = links_[index(nf)];
  const PoolConfig& pool = config_.nfs[index(nf)].pool;
  if (!link.ready || std::chrono::steady_clock::now() < link.fork_again_at) return 0;
  const uint32_t running = link.live + link.outstanding;
  count = std::min(count, pool.max > running ? pool.max - running : 0);
  count = std::min(count, kOutstandingMax > link.outstanding ? kOutstandingMax - link.outstanding : 0);
  count = std::min<uint32_t>(count, static_cast<uint32_t>(free_slots_.size()));
  uint32_t asked = 0;
  while (asked < count) {
    ZygoteMessage message{.op = ZygoteOp::fork};
    const auto core = static_cast<uint32_t>(next_core_++ % config_.nf_cores.size());
    message.core = raw(config_.nf_cores[core]);
    std::vector<int> fds;
    while (message.count < kForkBatchMax && asked + message.count < count) {
      const SlotId slot = free_slots_.back();
      int wake_fd = -1;
      if (!prepare(slot, core, wake_fd)) break;
      free_slots_.pop_back();
      owners_[index(slot)] = nf;
      message.slots[message.count++] = raw(slot);
      if (wake_fd >= 0) fds.push_back(wake_fd);
    }
    if (message.count == 0 || !send(nf, message, fds)) {
      for (uint32_t i = 0; i < message.count; ++i) release(SlotId{message.slots[i]});
      break;
    }
    asked += message.count;
  }
  link.outstanding += asked;
  return asked;
}

void Zygotes::kill(SlotId slot) {
  if (pids_[index(slot)] == 0) return;
  ZygoteMessage message{.op = ZygoteOp::kill, .count = 1};
  message.slots[0] = raw(slot);
  // A zygote that is behind with its messages gets this one later.
  if (!send(owners_[index(slot)], message, {})) kills_.push_back({slot, pids_[index(slot)]});
}

bool Zygotes::send(NfId nf, const ZygoteMessage& message, std::span<const int> fds) {
  iovec data{const_cast<ZygoteMessage*>(&message), sizeof message};
  alignas(cmsghdr) char space[CMSG_SPACE(kForkBatchMax * sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = space;
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size_bytes());
    memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  }
  return sendmsg(links_[index(nf)].socket, &header, MSG_NOSIGNAL) == sizeof message;
}

void Zygotes::on_readable(NfId nf, Events& events) {
  ZygoteMessage message;
  while (links_[index(nf)].socket >= 0) {
    const ssize_t n = recv(links_[index(nf)].socket, &message, sizeof message, MSG_DONTWAIT);
    if (n == sizeof message) {
      on_message(nf, message, events);
    } else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
      // It is gone; the keeper will say how it ended.
      close(links_[index(nf)].socket);
      links_[index(nf)].socket = -1;
      links_[index(nf)].ready = false;
    } else {
      return;
    }
  }
}

void Zygotes::on_message(NfId nf, const ZygoteMessage& message, Events& events) {
  Link& link = links_[index(nf)];
  switch (message.op) {
    case ZygoteOp::ready: link.ready = link.was_ready = true; break;
    case ZygoteOp::forked: on_forked(nf, message, events); break;
    case ZygoteOp::died: {
      const SlotId slot{message.slots[0]};
      if (!owns(nf, slot) || pids_[index(slot)] != message.pids[0]) break;
      --link.live;
      events.deaths.push_back({nf, slot, message.pids[0], message.status});
      break;
    }
    default: break;
  }
}

void Zygotes::on_forked(NfId nf, const ZygoteMessage& message, Events& events) {
  Link& link = links_[index(nf)];
  for (uint32_t i = 0; i < std::min(message.count, kForkBatchMax); ++i) {
    const SlotId slot{message.slots[i]};
    if (!owns(nf, slot) || link.outstanding == 0) continue;
    --link.outstanding;
    if (message.pids[i] == 0) {
      release(slot);
      continue;
    }
    pids_[index(slot)] = message.pids[i];
    ++link.live;
    events.forked.emplace_back(nf, slot);
  }
  if (message.status == 0) return;
  link.fork_again_at = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  events.notices.push_back(absl::StrCat(
      "nf '", config_.nfs[index(nf)].name, "': fork failed at ", link.live, " instances: ",
      strerror(message.status), "; raise the process limit (mayfly doctor) or lower pool.max"));
}

void Zygotes::on_exit(const std::string& name, uint32_t generation, int status, Events& events) {
  const auto found = std::find_if(config_.nfs.begin(), config_.nfs.end(),
                                  [&](const NfConfig& nf) { return nf.name == name; });
  if (found == config_.nfs.end()) return;
  const auto nf = static_cast<NfId>(found - config_.nfs.begin());
  Link& link = links_[index(nf)];
  if (generation != link.generation) return;
  on_readable(nf, events);  // what it said last
  if (link.socket >= 0) close(std::exchange(link.socket, -1));
  link.ready = false;
  uint32_t taken_along = 0;
  for (uint32_t s = 0; s < pids_.size(); ++s) {
    if (owners_[s] != nf) continue;
    const bool reported = std::any_of(events.deaths.begin(), events.deaths.end(),
                                      [&](const auto& d) { return d.slot == SlotId{s}; });
    if (pids_[s] == 0) release(SlotId{s});  // asked for, never forked
    else if (!reported) orphans_.push_back({nf, SlotId{s}, pids_[s], SIGKILL}), ++taken_along;
  }
  link.live -= std::min(link.live, taken_along);
  link.outstanding = 0;
  const auto now = std::chrono::steady_clock::now();
  link.failures = now - link.started < kYoung ? link.failures + 1 : 0;
  if (!link.was_ready) {
    events.fatal = absl::StrCat(config_.file, ":", found->line, ": nf '", name, "': image ",
                                found->image_path, " did not start: its init ended with ",
                                describe(status));
    return;
  }
  auto delay = std::chrono::steady_clock::duration::zero();
  if (link.failures > 0)
    delay = std::min<std::chrono::steady_clock::duration>(
        kBackoffMax, kBackoffFirst * (1u << std::min(link.failures - 1, 10u)));
  link.restart_at = now + delay;
  link.waiting_to_restart = true;
  events.notices.push_back(absl::StrCat(
      "nf '", name, "': its zygote ended with ", describe(status), "; ", taken_along,
      " instances went with it; starting again in ",
      std::chrono::duration_cast<std::chrono::milliseconds>(delay).count(), " ms"));
}

// The image's own code runs in a zygote: what it says is checked.
bool Zygotes::owns(NfId nf, SlotId slot) const {
  return index(slot) < owners_.size() && owners_[index(slot)] == nf;
}

void Zygotes::on_time(SteadyTime now, Events& events) {
  for (const auto& [slot, pid] : std::exchange(kills_, {}))
    if (pids_[index(slot)] == pid) kill(slot);
  if (!pending_notice_.empty()) events.notices.push_back(std::exchange(pending_notice_, {}));
  std::erase_if(orphans_, [&](const Events::Death& orphan) {
    if (!process_gone(orphan.pid)) return false;
    events.deaths.push_back(orphan);
    return true;
  });
  for (size_t i = 0; i < links_.size(); ++i) {
    if (!links_[i].waiting_to_restart || now < links_[i].restart_at) continue;
    if (const absl::Status s = start(static_cast<NfId>(i)); !s.ok())
      events.notices.push_back(std::string(s.message()));
  }
}

// Gone, a zombie, or (its number reused) somebody who is not an NF.
bool Zygotes::process_gone(int pid) {
  char text[512];
  const int fd = open(absl::StrCat("/proc/", pid, "/stat").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT || errno == ESRCH;
  const ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  if (n <= 0) return true;
  text[n] = 0;
  const char* end = strrchr(text, ')');
  if (end == nullptr || end[1] == 0) return true;
  const char state = end[2];
  return state == 'Z' || state == 'X' || strstr(text, "(nf:") == nullptr;
}

void Zygotes::release(SlotId slot) {
  pids_[index(slot)] = 0;
  owners_[index(slot)] = kNone<NfId>;
  free_slots_.push_back(slot);
}

}  // namespace mayfly
