// DPDK says why a device cannot be opened in its log, and returns -1. While one of these lives, the
// log is collected instead of going to stderr, so that the reason can be part of our one-line
// error.
#pragma once

#include <string>

namespace mayfly {

class DpdkLogCapture {
 public:
  DpdkLogCapture();
  ~DpdkLogCapture();
  DpdkLogCapture(const DpdkLogCapture&) = delete;
  DpdkLogCapture& operator=(const DpdkLogCapture&) = delete;

  // The first line logged since (the driver's own; what follows is EAL passing it on).
  std::string first_line() const;
};

}  // namespace mayfly
