// CHECK is for our own bugs only. Nothing that arrives on the wire, from a user, or from an NF's
// memory may trip one: those get an absl::Status or a counted drop (docs/design.md, D4).
#pragma once

#include <cstdio>
#include <cstdlib>

#define MAYFLY_CHECK(condition)                                                              \
  do {                                                                                       \
    if (__builtin_expect(!(condition), 0)) {                                                 \
      std::fprintf(stderr, "mayfly: %s:%d: bug: %s does not hold\n", __FILE__, __LINE__,     \
                   #condition);                                                              \
      std::abort();                                                                          \
    }                                                                                        \
  } while (0)
