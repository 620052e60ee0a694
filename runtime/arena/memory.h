// The sealed shared memory of an arena: one memfd, on 2 MiB huge pages where they are to be had.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace mayfly {

inline constexpr uint64_t kHugePageBytes = 2u << 20;

// How many 2 MiB pages the host has free now; 0 where the kernel has no such pool.
uint64_t free_huge_pages();

// A memfd that is sized, pre-faulted, mapped at a multiple of 2 MiB and sealed: its size can never
// change again, whoever holds the descriptor, and the seals were read back.
class SealedMemory {
 public:
  // `bytes` must be a multiple of kHugePageBytes.
  enum class Others : uint8_t { may_write, read_only };  // who gets the descriptor from us
  static absl::StatusOr<SealedMemory> create(const std::string& name, uint64_t bytes,
                                             bool on_huge_pages,
                                             Others others = Others::may_write);
  SealedMemory() = default;
  SealedMemory(SealedMemory&& other) noexcept { swap(other); }
  SealedMemory& operator=(SealedMemory&& other) noexcept {
    swap(other);
    return *this;
  }
  ~SealedMemory();

  int fd() const { return fd_; }
  uint8_t* base() const { return base_; }
  uint64_t bytes() const { return bytes_; }
  bool huge() const { return huge_; }

 private:
  void swap(SealedMemory& other) noexcept;
  absl::Status map();
  absl::Status seal(Others others) const;

  int fd_ = -1;
  uint8_t* base_ = nullptr;
  uint64_t bytes_ = 0;
  bool huge_ = false;
};

}  // namespace mayfly
