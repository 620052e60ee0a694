// Dataplane <-> zygote: a SOCK_SEQPACKET pair, one fixed-size record per message.
//
// The keeper starts `mayfly-zygote IMAGE NAME` with these descriptors:
//   3 this socket   4 control region   5 bind region   6 packet arena   7 compiled arguments
#pragma once

#include <cstdint>

#include "runtime/base/types.h"

namespace mayfly {

inline constexpr int kZygoteSocketFd = 3;
inline constexpr int kZygoteControlFd = 4;
inline constexpr int kZygoteBindFd = 5;
inline constexpr int kZygoteArenaFd = 6;
inline constexpr int kZygoteArgsFd = 7;

// The zygote could not become ready; its last words are on stderr.
inline constexpr int kZygoteExitImage = 65;   // not an image, or of another SDK version
inline constexpr int kZygoteExitCreate = 66;  // create() failed
inline constexpr int kZygoteExitRegion = 67;  // the descriptors make no sense

inline constexpr uint32_t kForkBatchMax = 32;

enum class ZygoteOp : uint32_t {
  fork = 1,  // to the zygote: fork `count` instances for `slots`, on `core`; with dispatch eventfd
             // `count` descriptors come along, in order
  kill = 2,  // to the zygote: SIGKILL the instance of slots[0]
  ready = 3,   // from the zygote: the image is loaded and created
  forked = 4,  // from the zygote: slots[i] runs as pids[i]; 0: fork failed with `status` = errno
  died = 5,    // from the zygote: slots[0] (pids[0]) ended with wait status `status`
};

struct ZygoteMessage {
  ZygoteOp op{};
  uint32_t count = 0;
  int32_t status = 0;
  uint32_t core = 0;
  uint32_t slots[kForkBatchMax] = {};
  int32_t pids[kForkBatchMax] = {};
};

}  // namespace mayfly
