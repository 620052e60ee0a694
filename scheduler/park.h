// The NF's end of dispatch: how an instance waits. In a file of its own, so that an NF process
// links nothing but this: every library that a zygote maps is paid for by each of its instances.
#pragma once

#include "runtime/abi/region.h"
#include "runtime/abi/wake.h"

namespace mayfly {

// The word lies in memory that processes share: the futex is not FUTEX_PRIVATE.
void futex_wake(std::atomic<uint32_t>& word);

// Waits while entry.word is kAsleep. `wake_fd` is what Waker::prepare() gave.
void park(Dispatch dispatch, WakeEntry& entry, int wake_fd);

}  // namespace mayfly
