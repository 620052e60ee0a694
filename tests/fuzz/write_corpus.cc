// Writes the seeds of the parser's corpus, one file for every row of its test:
//   write_corpus tests/fuzz/corpus/parse
#include <cstdio>
#include <fstream>
#include <string>

#include "tests/flowdir/parse_rows.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  for (const auto& row : mayfly::frames::parse_rows()) {
    std::ofstream out(std::string(argv[1]) + "/" + row.name, std::ios::binary);
    out.write(reinterpret_cast<const char*>(row.frame.data()),
              static_cast<std::streamsize>(row.frame.size()));
    if (!out) {
      std::fprintf(stderr, "cannot write %s/%s\n", argv[1], row.name);
      return 1;
    }
  }
  return 0;
}
