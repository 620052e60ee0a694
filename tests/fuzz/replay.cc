// Runs a fuzz body without a fuzzer, so that every ordinary test run does: each file of the corpus
// as it is, cut at every length, and with bytes changed at random (fixed seed).
//   replay FOLDER
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint32_t kMutationsPerFile = 2000;
constexpr uint32_t kChangedBytesMax = 6;
constexpr size_t kCutsMax = 2048;

Bytes content(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(in), {});
}

uint64_t replay(const Bytes& input, std::mt19937& random) {
  LLVMFuzzerTestOneInput(input.data(), input.size());
  const size_t cuts = std::min(input.size(), kCutsMax);
  for (size_t bytes = 0; bytes < cuts; ++bytes) LLVMFuzzerTestOneInput(input.data(), bytes);
  if (input.empty()) return 1;
  for (uint32_t i = 0; i < kMutationsPerFile; ++i) {
    Bytes changed = input;
    for (uint32_t n = random() % kChangedBytesMax + 1; n > 0; --n) {
      changed[random() % changed.size()] = static_cast<uint8_t>(random());
    }
    LLVMFuzzerTestOneInput(changed.data(), changed.size());
  }
  return 1 + cuts + kMutationsPerFile;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || !std::filesystem::is_directory(argv[1])) {
    std::fprintf(stderr, "usage: %s FOLDER: a folder of inputs\n", argv[0]);
    return 2;
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::mt19937 random(1);
  uint64_t runs = 0;
  for (const auto& file : files) runs += replay(content(file), random);
  std::printf("%zu files, %llu runs\n", files.size(), static_cast<unsigned long long>(runs));
  return files.empty() ? 1 : 0;
}
