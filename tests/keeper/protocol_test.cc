#include "runtime/keeper/protocol.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "nlohmann/json.hpp"

namespace mayfly {
namespace {

using nlohmann::json;

class Protocol : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends_), 0);
  }
  void TearDown() override {
    for (const int fd : ends_) ::close(fd);
  }
  absl::StatusOr<json> receive() { return receive_message(ends_[1], fds_); }
  void send_raw(const std::string& bytes) {
    ASSERT_EQ(::send(ends_[0], bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  }

  int ends_[2];
  std::vector<int> fds_;
};

TEST_F(Protocol, AMessageArrivesAsSent) {
  const json message = {{"op", "starting"}, {"forked", 12}, {"of", 2000}};
  ASSERT_TRUE(send_message(ends_[0], message).ok());
  auto got = receive();
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(*got, message);
  EXPECT_TRUE(fds_.empty());
}

TEST_F(Protocol, DescriptorsTravelInOrderAndCloseOnExec) {
  const int a = ::memfd_create("a", 0), b = ::memfd_create("b", 0);
  ASSERT_EQ(::write(a, "a", 1), 1);
  ASSERT_EQ(::write(b, "bb", 2), 2);
  ASSERT_TRUE(send_message(ends_[0], {{"op", "x"}}, {a, b}).ok());
  ASSERT_TRUE(receive().ok());
  ASSERT_EQ(fds_.size(), 2u);
  EXPECT_EQ(::lseek(fds_[0], 0, SEEK_END), 1);
  EXPECT_EQ(::lseek(fds_[1], 0, SEEK_END), 2);
  EXPECT_EQ(::fcntl(fds_[0], F_GETFD), FD_CLOEXEC);
  for (const int fd : {a, b, fds_[0], fds_[1]}) ::close(fd);
}

TEST_F(Protocol, NothingWaitingIsNotFoundAndAClosedPeerUnavailable) {
  EXPECT_TRUE(absl::IsNotFound(receive().status()));
  ::close(ends_[0]);
  EXPECT_TRUE(absl::IsUnavailable(receive().status()));
  EXPECT_TRUE(absl::IsUnavailable(send_message(ends_[1], {{"op", "x"}})));
  ends_[0] = ::dup(0);
}

TEST_F(Protocol, WhatIsQueuedBeforeTheEndIsStillRead) {
  ASSERT_TRUE(send_message(ends_[0], {{"op", "report"}}).ok());
  ::shutdown(ends_[0], SHUT_WR);
  EXPECT_TRUE(receive().ok());
  EXPECT_TRUE(absl::IsUnavailable(receive().status()));
}

TEST_F(Protocol, ANonObjectIsRefusedAndItsDescriptorsClosed) {
  const auto open_fds = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  for (const std::string text : {"not json", "[1,2]", "{\"op\":", "\xff\xfe", "3"}) {
    send_raw(text);
    EXPECT_TRUE(absl::IsInvalidArgument(receive().status())) << text;
  }
  EXPECT_TRUE(fds_.empty());
  const auto before = open_fds();
  const int fd = ::memfd_create("a", 0);
  iovec part{const_cast<char*>("["), 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  msghdr header{};
  header.msg_iov = &part, header.msg_iovlen = 1;
  header.msg_control = control, header.msg_controllen = sizeof control;
  cmsghdr* c = CMSG_FIRSTHDR(&header);
  c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(c), &fd, sizeof fd);
  ASSERT_EQ(::sendmsg(ends_[0], &header, 0), 1);
  ::close(fd);
  EXPECT_TRUE(absl::IsInvalidArgument(receive().status()));
  EXPECT_EQ(open_fds(), before);
}

TEST_F(Protocol, AMessageIsBoundedWhenSent) {
  const json large = {{"op", "notice"}, {"message", std::string(kKeeperMessageBytesMax, 'x')}};
  EXPECT_TRUE(absl::IsInvalidArgument(send_message(ends_[0], large)));
  EXPECT_TRUE(absl::IsInvalidArgument(
      send_message(ends_[0], {{"op", "x"}}, std::vector<int>(kKeeperDescriptorsMax + 1, 0))));
}

TEST_F(Protocol, AFullSocketIsReportedNotWaitedFor) {
  const json message = {{"op", "notice"}, {"message", std::string(60'000, 'x')}};
  absl::Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) status = send_message(ends_[0], message);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
}

TEST_F(Protocol, BytesThatAreNotTextAreReplacedNotFatal) {
  ASSERT_TRUE(send_message(ends_[0], {{"op", "notice"}, {"message", "bad \xff byte"}}).ok());
  EXPECT_TRUE(receive().ok());
}

}  // namespace
}  // namespace mayfly
