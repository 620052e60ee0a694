// Every fixed bound of Mayfly, with its relations asserted. Run-time settings are in
// runtime/config.h; what is here is baked into the ABI or into array sizes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mayfly {

inline constexpr uint32_t kPortCountMax = 250;       // fits the 8-bit steering argument
inline constexpr uint32_t kChainNfCountMax = 16;
inline constexpr uint32_t kNfKindCountMax = 1024;    // entries of `nfs:`
inline constexpr uint32_t kRuleCountMax = 4096;
inline constexpr uint32_t kSlotCountMax = 1u << 18;  // 262,144 instances
inline constexpr uint32_t kFlowCountMax = 1u << 21;

inline constexpr uint32_t kSmallBufferBytes = 2048;
inline constexpr uint32_t kJumboBufferBytes = 65536;
inline constexpr uint32_t kHeadroomBytes = 128;      // free bytes before a packet as it arrives
inline constexpr uint32_t kBufferIndexBits = 22;     // 4 M buffers of 2 KiB: 8 GiB a domain

inline constexpr uint32_t kRingEntriesMin = 32;
inline constexpr uint32_t kRingEntriesDefault = 128;
inline constexpr uint32_t kRingEntriesMax = 4096;
inline constexpr uint32_t kLoanCountMax = 16;        // blank buffers an instance may hold
inline constexpr uint32_t kBindBytesMax = 64 * 1024; // one instance's bind configuration

inline constexpr uint32_t kRxBurst = 32;             // packets the vSwitch takes from a port at once
inline constexpr uint32_t kNfBurst = 64;             // packets an NF is given at once

// Nice value of what manages NFs (zygotes, the control thread), which shares their cores: a death
// must be noticed while hundreds of NFs are runnable. Kept for root; others run at 0.
inline constexpr int kControlNice = -10;

inline constexpr uint32_t kWeightMax = 10'000;       // of an NF, or of a tenant; 100 is ordinary

inline constexpr uint32_t kTenantNameBytesMax = 63;

static_assert(kLoanCountMax < kRingEntriesMin,
              "a loan must fit an input ring beside at least one packet");
static_assert((kRingEntriesDefault & (kRingEntriesDefault - 1)) == 0);
static_assert(kSmallBufferBytes > kHeadroomBytes + 1518 + 8, "a full tagged frame fits a buffer");

}  // namespace mayfly
