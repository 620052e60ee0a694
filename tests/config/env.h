// What the configuration tests share: a scratch directory, and the images made for them.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "runtime/config/parse.h"

namespace mayfly {

class ConfigEnv : public testing::Test {
 protected:
  ConfigEnv() {
    setenv("MAYFLY_NF_PATH", MAYFLY_TEST_IMAGES, 1);
    std::string name = testing::TempDir() + "mayfly_config_XXXXXX";
    dir_ = mkdtemp(name.data());
  }
  ~ConfigEnv() override { std::filesystem::remove_all(dir_); }

  void file(const std::string& name, const std::string& content) {
    std::ofstream(dir_ + "/" + name) << content;
  }
  absl::StatusOr<Config> parse(const std::string& yaml) {
    return parse_config_text(yaml, "t.yaml", dir_);
  }
  // "" if `yaml` is valid.
  std::string error_of(const std::string& yaml) {
    return std::string(parse(yaml).status().message());
  }

  std::string dir_;
};

// A valid configuration, a section a line.
inline const std::string kPorts = "ports: [{name: a, gen: {flows: 10}}]\n";
inline const std::string kNfs = "nfs: {t: {image: tiny}}\n";
inline const std::string kChains = "chains: {c: {nfs: [t]}}\n";
inline const std::string kFlows =
    "flows: [{match: {port: a}, instance_per: vlan, chain: c, out: a}]\n";
inline const std::string kMinimal = kPorts + kNfs + kChains + kFlows;

}  // namespace mayfly
