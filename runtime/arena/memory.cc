#include "runtime/arena/memory.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "fmt/format.h"

namespace mayfly {
namespace {

absl::Status failed(const char* what, uint64_t bytes) {
  return absl::ResourceExhaustedError(fmt::format(
      "packet arena of {} MiB: {}: {}; lower memory.packets, or give this host (or this cgroup) "
      "more memory",
      bytes >> 20, what, std::strerror(errno)));
}

}  // namespace

uint64_t free_huge_pages() {
  uint64_t pages = 0;
  std::ifstream("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") >> pages;
  return pages;
}

absl::StatusOr<SealedMemory> SealedMemory::create(const std::string& name, uint64_t bytes,
                                                  bool on_huge_pages, Others others) {
  SealedMemory m;
  const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING |
                         (on_huge_pages ? unsigned{MFD_HUGETLB} | unsigned{MFD_HUGE_2MB} : 0u);
  m.bytes_ = bytes;
  m.huge_ = on_huge_pages;
  m.fd_ = memfd_create(name.c_str(), flags);
  if (m.fd_ < 0) return failed("memfd_create", bytes);
  if (ftruncate(m.fd_, static_cast<off_t>(bytes)) != 0) return failed("ftruncate", bytes);
  // fallocate takes the pages now: too little memory is an error here, not a SIGBUS later.
  if (fallocate(m.fd_, 0, 0, static_cast<off_t>(bytes)) != 0) return failed("fallocate", bytes);
  if (absl::Status s = m.map(); !s.ok()) return s;
  if (absl::Status s = m.seal(others); !s.ok()) return s;
  return m;
}

absl::Status SealedMemory::map() {
  // Reserve 2 MiB more than needed and map inside it, for an aligned address with any page size.
  const uint64_t room = bytes_ + kHugePageBytes;
  void* reserved =
      mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return failed("mmap", bytes_);
  const auto begin = reinterpret_cast<uintptr_t>(reserved);
  const uintptr_t aligned = (begin + kHugePageBytes - 1) & ~(kHugePageBytes - 1);
  void* at = mmap(reinterpret_cast<void*>(aligned), bytes_, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd_, 0);
  if (at == MAP_FAILED) {
    const absl::Status s = failed("mmap", bytes_);
    munmap(reserved, room);
    return s;
  }
  if (aligned > begin) munmap(reserved, aligned - begin);
  if (const uint64_t rest = begin + room - (aligned + bytes_); rest > 0) {
    munmap(reinterpret_cast<void*>(aligned + bytes_), rest);
  }
  base_ = static_cast<uint8_t*>(at);
  return absl::OkStatus();
}

absl::Status SealedMemory::seal(Others others) const {
  const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL |
                     (others == Others::read_only ? F_SEAL_FUTURE_WRITE : 0);
  if (fcntl(fd_, F_ADD_SEALS, seals) != 0) return failed("sealing", bytes_);
  if (fcntl(fd_, F_GET_SEALS) != seals) return failed("reading the seals back", bytes_);
  struct stat st;
  if (fstat(fd_, &st) != 0 || static_cast<uint64_t>(st.st_size) != bytes_) {
    return failed("reading the size back", bytes_);
  }
  return absl::OkStatus();
}

SealedMemory::~SealedMemory() {
  if (base_ != nullptr) munmap(base_, bytes_);
  if (fd_ >= 0) close(fd_);
}

void SealedMemory::swap(SealedMemory& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(base_, other.base_);
  std::swap(bytes_, other.bytes_);
  std::swap(huge_, other.huge_);
}

}  // namespace mayfly
