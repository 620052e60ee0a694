// The version of this tree, as in CMakeLists.txt and CHANGELOG.md.
#pragma once

#ifndef MAYFLY_VERSION
#define MAYFLY_VERSION "0.1.0"
#endif

namespace mayfly {

inline constexpr const char kVersion[] = MAYFLY_VERSION;

}  // namespace mayfly
