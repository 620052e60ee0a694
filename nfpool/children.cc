#include "nfpool/children.h"

#include <sys/mman.h>

namespace mayfly {

bool Children::map() {
  constexpr size_t kSlotOfBytes = (size_t{kPidMax} + 1) * sizeof *slot_of_;
  constexpr size_t kBytes = kSlotOfBytes + size_t{kSlotCountMax} * sizeof *pid_of_;
  void* at = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED || madvise(at, kBytes, MADV_DONTFORK) != 0) return false;
  madvise(at, kBytes, MADV_NOHUGEPAGE);
  slot_of_ = static_cast<uint32_t*>(at);
  pid_of_ = reinterpret_cast<int*>(static_cast<char*>(at) + kSlotOfBytes);
  return true;
}

}  // namespace mayfly
