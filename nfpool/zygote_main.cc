// mayfly-zygote IMAGE NAME: started by the keeper only (zygote_protocol.h says with what).
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nfpool/zygote.h"

namespace {

// Before the first malloc(): a page in the way of brk() makes it take its memory from where the
// libraries are. A heap of its own, up to 1 GiB from the executable, would cost every instance one
// to three page tables. If the page cannot be had, there is a heap, and nothing else changes.
__attribute__((constructor(101))) void keep_malloc_by_the_libraries() {
  constexpr uintptr_t kPage = 4096;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(sbrk(0)) + kPage - 1) & ~(kPage - 1);
  mmap(reinterpret_cast<void*>(end), kPage, PROT_NONE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "mayfly-zygote is started by `mayfly run`, not by hand\n");
    return 2;
  }
  return mayfly::Zygote::main(argv[1], argv[2]);
}
