#include "flowdir/key_hash.h"

#include <sys/random.h>

#include "runtime/base/check.h"

namespace mayfly {

uint64_t fresh_secret() {
  uint64_t secret;
  MAYFLY_CHECK(getrandom(&secret, sizeof secret, 0) == sizeof secret);
  return secret;
}

}  // namespace mayfly
