#include "runtime/keeper/spawned_zygotes.h"

#include <sys/wait.h>

#include <csignal>

#include "absl/strings/str_cat.h"
#include "runtime/base/limits.h"
#include "runtime/keeper/spawn.h"

namespace mayfly {
namespace {

using nlohmann::json;

constexpr size_t kZygotesMax = 2 * kNfKindCountMax;  // an NF's old one may still be dying
constexpr int kCouldNotStart = W_EXITCODE(127, 0);

}  // namespace

std::string text_in(const json& message, const char* key) {
  const auto it = message.find(key);
  return it != message.end() && it->is_string() ? it->get<std::string>() : "";
}

uint64_t number_in(const json& message, const char* key) {
  const auto it = message.find(key);
  return it != message.end() && it->is_number_unsigned() ? it->get<uint64_t>() : 0;
}

SpawnedZygotes::Name SpawnedZygotes::name_in(const json& order) {
  return {text_in(order, "nf"), number_in(order, "generation")};
}

json SpawnedZygotes::message(const char* op, const Name& name) {
  return {{"op", op}, {"nf", name.nf}, {"generation", name.generation}};
}

SpawnedZygotes::Started SpawnedZygotes::start(const json& order, const std::vector<int>& fds) {
  const Name name = name_in(order);
  ChildProcess child;
  child.descriptors = fds;
  if (const auto argv = order.find("argv"); argv != order.end() && argv->is_array()) {
    for (const json& arg : *argv) {
      if (arg.is_string()) child.argv.push_back(arg.get<std::string>());
    }
  }
  const absl::StatusOr<pid_t> pid = zygotes_.size() < kZygotesMax
                                        ? spawn_child(child)
                                        : absl::ResourceExhaustedError("too many zygotes");
  if (pid.ok()) {
    zygotes_[*pid] = name;
    json answer = message("zygote_started", name);
    answer["pid"] = *pid;
    return {answer, ""};
  }
  json answer = message("zygote_exited", name);
  answer["status"] = kCouldNotStart;
  return {answer, absl::StrCat("nf ", name.nf, ": ", std::string(pid.status().message()))};
}

void SpawnedZygotes::stop(const json& order) {
  const Name name = name_in(order);
  for (const auto& [pid, zygote] : zygotes_) {
    if (zygote == name) ::kill(pid, SIGKILL);
  }
}

std::optional<json> SpawnedZygotes::on_exit(pid_t pid, int status) {
  const auto it = zygotes_.find(pid);
  if (it == zygotes_.end()) return std::nullopt;
  json told = message("zygote_exited", it->second);
  told["status"] = status;
  zygotes_.erase(it);
  return told;
}

}  // namespace mayfly
