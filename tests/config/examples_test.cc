// Every configuration in examples/ is valid with the images that ship.
#include <algorithm>
#include <vector>

#include "tests/config/env.h"

namespace mayfly {
namespace {

TEST(Examples, AllAreValid) {
  unsetenv("MAYFLY_NF_PATH");
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(MAYFLY_EXAMPLES))
    if (entry.path().extension() == ".yaml" && !entry.path().stem().string().ends_with("tenants"))
      paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  EXPECT_GE(paths.size(), 4u);
  for (const std::string& path : paths)
    EXPECT_TRUE(parse_config(path).ok()) << parse_config(path).status();
}

}  // namespace
}  // namespace mayfly
