// The zygotes of a run, as the dataplane ordered them: started, stopped, and their ends reported.
// Takes and makes the messages of protocol.h; sends nothing itself.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace mayfly {

class SpawnedZygotes {
 public:
  struct Started {
    nlohmann::json answer;  // zygote_started, or zygote_exited if it could not be
    std::string complaint;  // for the operator; empty if it was
  };
  Started start(const nlohmann::json& order, const std::vector<int>& fds);
  void stop(const nlohmann::json& order);
  // zygote_exited, if `pid` was one.
  std::optional<nlohmann::json> on_exit(pid_t pid, int status);

 private:
  struct Name {
    std::string nf;
    uint64_t generation = 0;
    auto operator<=>(const Name&) const = default;
  };
  static Name name_in(const nlohmann::json& order);
  static nlohmann::json message(const char* op, const Name& name);

  std::map<pid_t, Name> zygotes_;
};

// Fields of a message; "" and 0 for what is absent or of another type.
std::string text_in(const nlohmann::json& message, const char* key);
uint64_t number_in(const nlohmann::json& message, const char* key);

}  // namespace mayfly
