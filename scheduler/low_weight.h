// Where processes are sent that take more CPU than they may: a cgroup of its own with the lowest
// weight there is (v1 cpu.shares 2 against 1,024; v2 cpu.weight 1 against 100), so that they run
// when nobody else wants the core. Where there can be none (no root, no cpu controller, a v2 tree
// that was not delegated to us) it is nice 19, which is a weight of 15 against 1,024.
#pragma once

#include <string>

namespace mayfly {

class LowWeight {
 public:
  // The cgroup is made with its first member. Nothing is thrown out at the end: remove_group().
  explicit LowWeight(std::string run_name) : run_name_(std::move(run_name)) {}

  // False: the process is gone.
  bool add(int pid);
  void remove(int pid);
  // Why there is no cgroup; empty if there is one, or none was wanted yet.
  const std::string& excuse() const { return excuse_; }

  // Removes what a run of this name has left, once its processes have ended.
  static void remove_group(const std::string& run_name);

 private:
  void make_group();

  std::string run_name_;
  std::string home_, group_;  // cgroups of the `cpu` controller; empty: nice
  std::string excuse_;
  bool tried_ = false;
};

}  // namespace mayfly
