// HTTP over a Unix socket that idle or slow clients cannot block.
//
//   accept --> waiting (epoll, no thread) --readable--> a worker: one request, one answer, close
//
// cpp-httplib parses and routes; its own listener would give every open connection a thread. Here
// a connection costs a thread only while its request is being handled, and that has a deadline.
// Bounds: kApiWaitingMax connections wait, the oldest goes when one more comes; a request has
// kApiRequestBytesMax bytes and kApiReadSecondsMax; kApiWorkers handlers run at once, the others
// wait their turn.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"

namespace httplib {
class Server;
}

namespace mayfly {

inline constexpr size_t kApiWorkers = 4;
inline constexpr size_t kApiWaitingMax = 256;
inline constexpr size_t kApiRequestBytesMax = 64u << 20;  // thousands of tenants with their files
inline constexpr int kApiReadSecondsMax = 4;              // from the first byte to the last
inline constexpr int kApiWriteSecondsMax = 10;
inline constexpr int kApiIdleSecondsMax = 5;  // until the first byte

class HttpListener {
 public:
  // `route` registers the handlers.
  explicit HttpListener(const std::function<void(httplib::Server&)>& route);
  ~HttpListener();

  // Binds `path` with mode 0600, replacing a socket left there by a dead process.
  absl::Status start(const std::string& path);
  // Waits for handlers that are running, closes everything, removes the socket file.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mayfly
