#include "runtime/keeper/protocol.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace mayfly {
namespace {

union ControlBuffer {
  cmsghdr align;
  char bytes[CMSG_SPACE(kKeeperDescriptorsMax * sizeof(int))];
};

void close_from(std::vector<int>& fds, size_t first) {
  for (size_t i = first; i < fds.size(); ++i) ::close(fds[i]);
  fds.resize(first);
}

void append_descriptors(msghdr& header, std::vector<int>& fds) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      fds.push_back(fd);
    }
  }
}

absl::Status send_failure(int error) {
  if (error == EPIPE || error == ECONNRESET || error == ENOTCONN) {
    return absl::UnavailableError("the peer has closed its end");
  }
  if (error == EAGAIN) return absl::ResourceExhaustedError("the peer does not read its messages");
  return absl::ErrnoToStatus(error, "sendmsg");
}

}  // namespace

absl::Status send_message(int socket, const nlohmann::json& message, const std::vector<int>& fds) {
  using nlohmann::json;
  const std::string text = message.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > kKeeperMessageBytesMax || fds.size() > kKeeperDescriptorsMax) {
    return absl::InvalidArgumentError(absl::StrCat("a message of ", text.size(), " bytes and ",
                                                   fds.size(), " descriptors is too large"));
  }
  iovec part{const_cast<char*>(text.data()), text.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  ControlBuffer control{};
  if (!fds.empty()) {
    header.msg_control = control.bytes;
    header.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size() * sizeof(int));
  }
  while (::sendmsg(socket, &header, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return send_failure(errno);
  }
  return absl::OkStatus();
}

absl::StatusOr<nlohmann::json> receive_message(int socket, std::vector<int>& fds) {
  std::string text(kKeeperMessageBytesMax, '\0');
  iovec part{text.data(), text.size()};
  ControlBuffer control{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.bytes;
  header.msg_controllen = sizeof control.bytes;
  ssize_t size;
  while ((size = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC)) < 0) {
    if (errno == EAGAIN) return absl::NotFoundError("no message waits");
    if (errno == ECONNRESET) return absl::UnavailableError("the peer has closed its end");
    if (errno != EINTR) return absl::ErrnoToStatus(errno, "recvmsg");
  }
  const size_t fds_before = fds.size();
  append_descriptors(header, fds);
  if (size == 0) return absl::UnavailableError("the peer has closed its end");
  if (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
    close_from(fds, fds_before);
    return absl::InvalidArgumentError("a message was cut: too long, or out of descriptors");
  }
  auto message = nlohmann::json::parse(text.data(), text.data() + size, nullptr, false);
  if (message.is_discarded() || !message.is_object()) {
    close_from(fds, fds_before);
    return absl::InvalidArgumentError("a message is not a JSON object");
  }
  return message;
}

}  // namespace mayfly
