// Stands where mayfly-dataplane stands and speaks the protocol as its script says. The script is
// the environment variable MAYFLY_PEER_SCRIPT: words separated by spaces.
//
//   ready | stats | error | notice | garbage   send that
//   zygote     ask for a child (/bin/sleep), remember the answer
//   badzygote  ask for an executable that does not exist, expect zygote_exited
//   stopzygote ask for its end, expect zygote_exited
//   term       wait for SIGTERM
//   report     send a report with its memfd
//   lossy      send a report whose packets do not balance
//   hang       ignore SIGTERM and wait for ever
//   die        SIGKILL itself
//   exit0, exit3
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "nlohmann/json.hpp"
#include "runtime/config/config.h"
#include "runtime/keeper/protocol.h"

namespace {

using nlohmann::json;

constexpr int kKeeper = 3;

[[noreturn]] void give_up(const std::string& why) {
  (void)mayfly::send_message(kKeeper, {{"op", "error"}, {"message", "peer: " + why}});
  std::_Exit(2);
}

void send(const json& message, const std::vector<int>& fds = {}) {
  if (!mayfly::send_message(kKeeper, message, fds).ok()) std::_Exit(9);
}

json expect(const std::string& op) {
  std::vector<int> fds;
  auto message = mayfly::receive_message(kKeeper, fds);
  if (!message.ok()) give_up("no answer");
  if ((*message)["op"] != op) give_up("got " + message->dump() + " instead of " + op);
  return *message;
}

void start_zygote() {
  const int fd = ::memfd_create("zygote", MFD_CLOEXEC);
  send({{"op", "start_zygote"}, {"nf", "fw"}, {"generation", 1}, {"argv", {"/bin/sleep", "600"}}},
       {fd});
  ::close(fd);
  const json answer = expect("zygote_started");
  if (answer["nf"] != "fw" || answer["generation"] != 1) give_up("wrong zygote");
  // Told to the test: its parent directory is ours to write.
  std::ofstream(std::getenv("MAYFLY_PEER_NOTES")) << answer["pid"].get<pid_t>() << "\n";
}

void send_report(uint64_t tx) {
  const std::string text =
      json{{"schema", 1}, {"seconds", 1.0}, {"packets", {{"rx", 10}, {"tx", tx}}}}.dump();
  const int fd = ::memfd_create("report", MFD_CLOEXEC);
  if (::write(fd, text.data(), text.size()) < 0) give_up("memfd");
  send({{"op", "report"}}, {fd});
}

void wait_for_term() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  int signal;
  ::sigwait(&set, &signal);
}

void play(const std::string& word) {
  if (word == "ready") send({{"op", "ready"}});
  if (word == "stats") send({{"op", "stats"}, {"seconds", 1.0}, {"packets", {{"rx", 5}}}});
  if (word == "error") send({{"op", "error"}, {"message", "port 'lan': no such device"}});
  if (word == "notice") send({{"op", "notice"}, {"message", "huge pages are off"}});
  if (word == "garbage") (void)::send(kKeeper, "{oops", 5, 0);
  if (word == "zygote") start_zygote();
  if (word == "badzygote") {
    send({{"op", "start_zygote"}, {"nf", "bad"}, {"generation", 4}, {"argv", {"/no/such"}}});
    const json answer = expect("zygote_exited");
    if (answer["generation"] != 4) give_up("wrong zygote");
  }
  if (word == "stopzygote") {
    send({{"op", "stop_zygote"}, {"nf", "fw"}, {"generation", 1}});
    const json answer = expect("zygote_exited");
    if (!WIFSIGNALED(answer["status"].get<int>())) give_up("zygote was not killed");
  }
  if (word == "term") wait_for_term();
  if (word == "report") send_report(10);
  if (word == "lossy") send_report(9);
  if (word == "hang") {
    for (;;) ::pause();
  }
  if (word == "die") ::kill(::getpid(), SIGKILL);
  if (word == "exit0") std::_Exit(0);
  if (word == "exit2") std::_Exit(2);
  if (word == "exit3") std::_Exit(3);
}

}  // namespace

int main() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  // Descriptor 4 has to be the configuration.
  std::vector<uint8_t> bytes(1 << 20);
  const ssize_t size = ::read(4, bytes.data(), bytes.size());
  if (size <= 0) give_up("no configuration");
  bytes.resize(static_cast<size_t>(size));
  if (!mayfly::from_cbor(bytes).ok()) give_up("the configuration does not read");
  std::istringstream script(std::getenv("MAYFLY_PEER_SCRIPT"));
  for (std::string word; script >> word;) play(word);
}
