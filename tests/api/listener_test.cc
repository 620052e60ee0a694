// What a client can do to the listener that is not a proper request.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "recording_dataplane.h"

namespace mayfly {
namespace {

class Listener : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(env_.started.ok()) << env_.started; }

  int connect() {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    env_.path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  // Everything until the server closes, or "timeout".
  std::string answer_to(const std::string& bytes) {
    const int fd = connect();
    EXPECT_EQ(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
    ::shutdown(fd, SHUT_WR);
    std::string text;
    char buffer[4096];
    for (;;) {
      pollfd p{fd, POLLIN, 0};
      if (::poll(&p, 1, 8000) != 1) {
        text = "timeout";
        break;
      }
      const ssize_t n = ::read(fd, buffer, sizeof buffer);
      if (n <= 0) break;
      text.append(buffer, static_cast<size_t>(n));
    }
    ::close(fd);
    return text;
  }
  bool answers() { return env_.client.get("/v1/health").ok(); }

  ApiEnv env_;
};

TEST_F(Listener, BytesThatAreNoRequestEndInAnErrorOrAClose) {
  for (const std::string& bytes :
       {std::string("GARBAGE\r\n\r\n"), std::string("GET\r\n\r\n"), std::string("\0\0\0\0", 4),
        std::string("GET /v1/stats HTTP/1.1\r\n"), std::string("GET /v1/stats HTTP/9.9\r\n\r\n"),
        std::string("POST /v1/tenants HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"),
        std::string("POST /v1/tenants HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
        std::string("POST /v1/tenants HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\n"),
        "GET /" + std::string(20'000, 'a') + " HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nX: " + std::string(20'000, 'a') + "\r\n\r\n"}) {
    const std::string text = answer_to(bytes);
    EXPECT_NE(text, "timeout") << bytes.substr(0, 60);
    EXPECT_EQ(text.find("200 OK"), std::string::npos) << bytes.substr(0, 60);
    EXPECT_TRUE(answers());
  }
}

TEST_F(Listener, CompressedBodiesAreRefused) {
  const std::string text = answer_to(
      "POST /v1/tenants HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_NE(text.find("415"), std::string::npos) << text;
}

TEST_F(Listener, ATooLargeBodyIsRefusedUnread) {
  const std::string text =
      answer_to("POST /v1/tenants HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n{}");
  EXPECT_NE(text.find("413"), std::string::npos) << text;
}

TEST_F(Listener, ThousandsOfIdleClientsDoNotStopOthers) {
  std::vector<int> idle;
  for (int i = 0; i < 2000; ++i) {
    idle.push_back(connect());
    if (i % 500 == 0) {
      EXPECT_TRUE(answers()) << i;
    }
  }
  EXPECT_TRUE(answers());
  for (const int fd : idle) ::close(fd);
}

// Each has begun a request and holds a worker; a worker is free again after the request's time.
TEST_F(Listener, HalfARequestDoesNotHoldTheServerForEver) {
  std::vector<int> slow;
  for (size_t i = 0; i < kApiWorkers; ++i) {
    slow.push_back(connect());
    ASSERT_EQ(::send(slow.back(), "GET /v1", 7, MSG_NOSIGNAL), 7);
  }
  EXPECT_TRUE(answers());
  for (const int fd : slow) ::close(fd);
}

TEST_F(Listener, StopDoesNotWaitForIdleClients) {
  const int fd = connect();
  env_.server.stop();
  char byte;
  EXPECT_LE(::read(fd, &byte, 1), 0);
  ::close(fd);
}

}  // namespace
}  // namespace mayfly
