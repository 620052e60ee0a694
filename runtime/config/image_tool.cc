// mayfly-image: the only process that runs image code outside a zygote. image.h has its interface.
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <iterator>
#include <set>

#include "nfpool/image_loader.h"
#include "nfs/nf.h"
#include "nlohmann/json.hpp"
#include "runtime/base/limits.h"
#include "runtime/config/image.h"

namespace mayfly {
namespace {

using nlohmann::json;

constexpr size_t kArgCountMax = 64;

class GivenArgs final : public Args {
 public:
  explicit GivenArgs(const json& args) : args_(args) {}
  uint64_t number(std::string_view name) const override {
    const auto it = args_.find(std::string(name));
    return it != args_.end() && it->is_number_unsigned() ? it->get<uint64_t>() : 0;
  }
  std::string_view text(std::string_view name) const override {
    const auto it = args_.find(std::string(name));
    if (it == args_.end() || !it->is_string()) return {};
    return it->get_ref<const std::string&>();
  }

 private:
  const json& args_;
};

// What a dishonest or careless row would make the runtime trip over later. Empty: nothing.
std::string fault_of(const NfImage& image) {
  if (image.name == nullptr || image.name[0] == '\0' || image.summary == nullptr)
    return "it has no name or summary";
  if (image.create == nullptr) return "it has no create()";
  if (image.blank_buffers > kLoanCountMax)
    return fmt::format("blank_buffers is {}; at most {} are possible", image.blank_buffers,
                       kLoanCountMax);
  if (image.args.size() > kArgCountMax)
    return fmt::format("{} arguments; at most {} are possible", image.args.size(), kArgCountMax);
  std::set<std::string> names;
  for (const NfArg& arg : image.args) {
    if (arg.name == nullptr || arg.name[0] == '\0' || arg.help == nullptr)
      return "an argument has no name or help";
    if (static_cast<size_t>(arg.type) >= std::size(kArgTypeNames))
      return fmt::format("argument {} has no known type", arg.name);
    if (arg.min > arg.max) return fmt::format("argument {} has min above max", arg.name);
    if (!names.insert(arg.name).second) return fmt::format("argument {} is there twice", arg.name);
  }
  return {};
}

std::string describe(const NfImage& image) {
  json args = json::array();
  for (const NfArg& arg : image.args) {
    args.push_back({{"name", arg.name},
                    {"type", kArgTypeNames[static_cast<size_t>(arg.type)]},
                    {"help", arg.help},
                    {"fallback", arg.fallback ? json(arg.fallback) : json()},
                    {"min", arg.min},
                    {"max", arg.max}});
  }
  const json j = {{"name", image.name},
                  {"summary", image.summary},
                  {"tick_period_ns", image.tick_period_ns},
                  {"blank_buffers", image.blank_buffers},
                  {"args", std::move(args)}};
  return j.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

json compile_one(const NfImage& image, const json& args) {
  if (image.compile == nullptr) return {{"config", json::binary({})}};
  // The image fills these with memory of its own allocator (it has a C++ runtime of its own), so
  // only it could free them. This process is about to end instead.
  auto& config = *new std::vector<std::byte>;
  auto& error = *new ArgError;
  if (!image.compile(GivenArgs(args), config, error)) {
    return {{"error", {{"arg", error.arg}, {"line", error.line}, {"message", error.message}}}};
  }
  if (config.size() > kBindBytesMax) {
    return {{"error",
             {{"arg", ""},
              {"line", 0},
              {"message", fmt::format("the arguments compile to {} bytes; at most {} are possible",
                                      config.size(), kBindBytesMax)}}}};
  }
  std::vector<uint8_t> bytes(config.size());
  if (!config.empty()) std::memcpy(bytes.data(), config.data(), config.size());
  return {{"config", json::binary(std::move(bytes))}};
}

std::string compile(const NfImage& image, const json& entries) {
  json answers = json::array();
  for (const json& entry : entries) answers.push_back(compile_one(image, entry.at("args")));
  std::string out;
  json::to_cbor(answers, out);
  return out;
}

// In a child: a create() that dies takes nobody along. Empty: it works.
std::string create_fault(const NfImage& image, const json::binary_t& config) {
  std::vector<std::byte> bytes(config.size() + 64);
  auto* begin = bytes.data();
  while (reinterpret_cast<uintptr_t>(begin) % 64 != 0) ++begin;  // as a binding is aligned
  if (!config.empty()) std::memcpy(begin, config.data(), config.size());
  const pid_t child = fork();
  if (child < 0) return fmt::format("cannot fork: {}", std::strerror(errno));
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const NetworkFunction* nf = image.create({begin, config.size()});
    _exit(nf == nullptr ? 1 : 0);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) return fmt::format("crashed in create(): signal {}", WTERMSIG(status));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return WEXITSTATUS(status) == 1
             ? std::string("create() returned nothing")
             : fmt::format("create() left with exit code {}", WEXITSTATUS(status));
}

std::string read_input() {
  if (isatty(0)) return {};
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

// Answers go to the standard output as it was; what image code prints goes to the standard error.
int private_output() {
  const int out = dup(1);
  dup2(2, 1);
  return out;
}

void bound_this_process() {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // A crash of image code ends this process by its signal, whatever a sanitizer has installed.
  for (const int s : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) std::signal(s, SIG_DFL);
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  const rlimit file_bytes{512u << 20, 512u << 20};
  setrlimit(RLIMIT_FSIZE, &file_bytes);
}

int fail(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  return 1;
}

int answer(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail(fmt::format("cannot write the answer: {}", std::strerror(errno)));
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  // Not exit(): destructors of the image are not what was asked for.
  _exit(0);
}

int check(const NfImage& image, const std::string& path, const json& entries) {
  for (const json& entry : entries)
    if (const std::string fault = create_fault(image, entry.at("config").get_binary());
        !fault.empty())
      return fail(fmt::format("image {}: {}", path, fault));
  _exit(0);
}

int run(const std::string& verb, const std::string& path) {
  const std::string input = verb == "describe" ? std::string() : read_input();
  const int out = private_output();
  std::string error;
  const NfImage* image = load_image(path, error);
  if (image == nullptr) return fail(fmt::format("image {}", error));
  if (const std::string fault = fault_of(*image); !fault.empty())
    return fail(fmt::format("image {} is not valid: {}", path, fault));
  if (verb == "describe") return answer(out, describe(*image));
  json entries = json::array();
  try {
    if (!input.empty()) entries = json::from_cbor(input);
    if (verb == "check") return check(*image, path, entries);
    return answer(out, compile(*image, entries));
  } catch (const std::exception& e) {
    return fail(fmt::format("image {}: {}: {}", path, verb, e.what()));
  }
}

}  // namespace
}  // namespace mayfly

int main(int argc, char** argv) {
  const std::string verb = argc == 3 ? argv[1] : "";
  if (verb != "describe" && verb != "compile" && verb != "check") {
    std::fprintf(stderr,
                 "usage: mayfly-image describe IMAGE.so   what the image is, as JSON\n"
                 "       mayfly-image compile  IMAGE.so   arguments in, configurations out (CBOR)\n"
                 "       mayfly-image check    IMAGE.so   loads it; create() for each given "
                 "configuration\n");
    return 2;
  }
  mayfly::bound_this_process();
  return mayfly::run(verb, argv[2]);
}
