#include "runtime/ports/dpdk_log.h"

#include <rte_log.h>

#include <cstdio>
#include <string_view>

namespace mayfly {
namespace {

// Never closed: a driver's own thread may be about to write to it. Written to by few, short lines.
struct Collector {
  char* text = nullptr;
  size_t bytes = 0;
  size_t begin = 0;
  FILE* stream = open_memstream(&text, &bytes);
};
Collector& collector() {
  static Collector c;
  return c;
}

}  // namespace

DpdkLogCapture::DpdkLogCapture() {
  Collector& c = collector();
  fflush(c.stream);
  c.begin = c.bytes;
  rte_openlog_stream(c.stream);
}

DpdkLogCapture::~DpdkLogCapture() { rte_openlog_stream(stderr); }

std::string DpdkLogCapture::first_line() const {
  Collector& c = collector();
  fflush(c.stream);
  std::string_view log(c.text + c.begin, c.bytes - c.begin);
  while (!log.empty()) {
    const size_t end = log.find('\n');
    std::string_view line = log.substr(0, end);
    while (!line.empty() && (line.back() == ' ' || line.back() == '.')) line.remove_suffix(1);
    if (!line.empty()) return std::string(line);
    if (end == std::string_view::npos) break;
    log.remove_prefix(end + 1);
  }
  return "no reason given";
}

}  // namespace mayfly
