// The fuzz body over its committed corpus, and over deterministic damage to it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

std::vector<std::string> corpus() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(MAYFLY_TEST_CORPUS))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> texts;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    texts.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return texts;
}

void run(const std::string& text) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

TEST(FuzzYaml, Corpus) {
  setenv("MAYFLY_NF_PATH", "/nonexistent", 1);
  const auto texts = corpus();
  EXPECT_GE(texts.size(), 10u);
  for (const std::string& text : texts) run(text);
}

TEST(FuzzYaml, DamagedCorpus) {
  setenv("MAYFLY_NF_PATH", "/nonexistent", 1);
  std::mt19937 random(1);
  constexpr char kBytes[] = "{}[]:,-&*!|>'\"#%@`? \n\t0a~\\\x80\xff";
  for (const std::string& text : corpus()) {
    if (text.empty()) continue;
    for (int round = 0; round < 60; ++round) {
      std::string damaged = text;
      for (uint32_t hits = 1 + random() % 4; hits > 0; --hits) {
        const size_t at = random() % damaged.size();
        switch (random() % 3) {
          case 0:
            damaged[at] = kBytes[random() % (sizeof(kBytes) - 1)];
            break;
          case 1:
            damaged.insert(at, 1, kBytes[random() % (sizeof(kBytes) - 1)]);
            break;
          case 2:
            damaged.erase(at, random() % 8);
            break;
        }
        if (damaged.empty()) damaged = " ";
      }
      run(damaged);
    }
  }
}

}  // namespace
