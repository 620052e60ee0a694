// Where every packet is accounted for: rx + originated = tx + sum(drops) + held. One reason, one
// place, one counter per lost packet.
#pragma once

#include <array>
#include <cstdint>
#include <numeric>
#include <string_view>

namespace mayfly {

// Append only: the names are part of the --report schema. docs/config.md explains each.
enum class Drop : uint8_t {
  no_rule,    // no entry of `flows:` matches
  no_tenant,  // the rule requires a tenant and the key is nobody's
  flow_table_full,
  pool_empty,        // no idle instance, and the policy is (or ended as) drop
  backlog_full,      // waited for an instance, behind too many others
  instance_backoff,  // its NF keeps crashing on this flow and is held back
  nf_ring_full,      // the NF's input ring is full
  tenant_limit,      // tenant.packets reached
  nf_drop,           // an NF's verdict
  nf_died,           // consumed by an NF that died before it returned them
  nf_violation,      // returned by an NF in a way the ABI forbids
  no_out_port,       // came through its chain, and neither rule nor NF named a port
  rx_truncated,      // the driver cut the frame
  rx_oversize,       // larger than a jumbo buffer holds (kFrameBytesMax)
  rx_no_jumbo,       // larger than 2 KiB and all jumbo buffers in use
  rx_no_buffer,      // the generator was due a packet and no buffer was free
  tx_oversize,       // larger than the port can send whole
  tx_full,           // the port did not take it, nor in the turns after
  shutdown,          // still inside when the drain time ran out
  tx_runt,           // shorter than an Ethernet header: no device would send it
  kCount
};
inline constexpr size_t kDropCount = static_cast<size_t>(Drop::kCount);
std::string_view drop_name(Drop reason);  // "nf_ring_full"

struct Ledger {
  uint64_t rx = 0;
  uint64_t originated = 0;
  uint64_t tx = 0;
  uint64_t rx_bytes = 0;
  uint64_t tx_bytes = 0;
  std::array<uint64_t, kDropCount> drops{};

  void drop(Drop reason, uint64_t n = 1) { drops[static_cast<size_t>(reason)] += n; }
  uint64_t dropped() const { return std::accumulate(drops.begin(), drops.end(), uint64_t{0}); }
  // What must still be inside; compared with a count of the buffers at the end of every run.
  int64_t held() const {
    return static_cast<int64_t>(rx + originated) - static_cast<int64_t>(tx + dropped());
  }
};

}  // namespace mayfly
