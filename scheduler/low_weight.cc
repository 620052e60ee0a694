#include "scheduler/low_weight.h"

#include <libcgroup.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>

#include "absl/strings/str_cat.h"

namespace mayfly {
namespace {

constexpr int kLowestNice = 19;

struct Free {
  void operator()(cgroup* group) const { cgroup_free(&group); }
};
using Group = std::unique_ptr<cgroup, Free>;

// Not created yet; null if libcgroup will not have it.
Group group_named(const std::string& path) {
  Group group(cgroup_new_cgroup(path.c_str()));
  if (!group || cgroup_add_controller(group.get(), "cpu") == nullptr) return nullptr;
  return group;
}

// The cgroup we are in; empty: there is no cpu controller.
std::string own_group() {
  char* path = nullptr;
  if (cgroup_init() != 0 || cgroup_get_current_controller_path(getpid(), "cpu", &path) != 0)
    return {};
  std::string own(path);
  free(path);
  return own;
}

// Is the `cpu` controller in a v2 tree?
bool is_unified() {
  char* mount = nullptr;
  if (cgroup_get_subsys_mount_point("cpu", &mount) != 0) return false;
  const bool unified = access(absl::StrCat(mount, "/cgroup.controllers").c_str(), F_OK) == 0;
  free(mount);
  return unified;
}

std::string group_of(const std::string& home, const std::string& run_name) {
  return absl::StrCat(home == "/" ? "" : home, "/mayfly-", run_name, "-overrun");
}

// Of the lowest weight, in the words of v1 or v2.
int create(const std::string& path) {
  Group group = group_named(path);
  if (!group) return ECGFAIL;
  cgroup_controller* cpu = cgroup_get_controller(group.get(), "cpu");
  const int added = is_unified() ? cgroup_add_value_uint64(cpu, "cpu.weight", 1)
                                 : cgroup_add_value_uint64(cpu, "cpu.shares", 2);
  return added != 0 ? added : cgroup_create_cgroup(group.get(), 0);
}

bool attach(const std::string& path, int pid) {
  const Group group = group_named(path);
  return group && cgroup_attach_task_pid(group.get(), pid) == 0;
}

}  // namespace

void LowWeight::make_group() {
  tried_ = true;
  home_ = own_group();
  if (home_.empty()) {
    excuse_ = "there is no cgroup with the cpu controller";
    return;
  }
  const std::string path = group_of(home_, run_name_);
  if (const int error = create(path); error != 0) {
    excuse_ = absl::StrCat("cgroup ", path, ": ", cgroup_strerror(error));
    return;
  }
  group_ = path;
}

bool LowWeight::add(int pid) {
  if (!tried_) make_group();
  if (!group_.empty() && attach(group_, pid)) return true;
  return setpriority(PRIO_PROCESS, static_cast<id_t>(pid), kLowestNice) == 0;
}

void LowWeight::remove(int pid) {
  if (!group_.empty()) attach(home_, pid);
  setpriority(PRIO_PROCESS, static_cast<id_t>(pid), 0);
}

void LowWeight::remove_group(const std::string& run_name) {
  const std::string home = own_group();
  if (home.empty()) return;
  const Group group = group_named(group_of(home, run_name));
  if (group) cgroup_delete_cgroup_ext(group.get(), CGFLAG_DELETE_IGNORE_MIGRATION);
}

}  // namespace mayfly
