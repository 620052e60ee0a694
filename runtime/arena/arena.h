// The packet arena of one trust domain, and the vSwitch's private record of every buffer in it.
//
// Buffers lie in a sealed memfd that NFs map; the mbufs that point at them (DPDK's pinned external
// buffers) and PacketMeta lie in private memory. Drivers see ordinary mbufs; everything else here
// works with BufferId, and touches an mbuf only where a driver is involved.
//
// Used by the vSwitch lcore alone, after set-up.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/abi/descriptor.h"
#include "runtime/abi/region.h"
#include "runtime/base/types.h"

struct rte_mbuf;
struct rte_mempool;

namespace mayfly {

// One buffer's state, private to the vSwitch: 32 bytes, two to a cache line.
struct PacketMeta {
  uint64_t due_tsc;     // when the packet was due (generator) or received
  uint32_t binding;     // BindingId; the chain it is on
  uint32_t holder;      // kHeldBySwitch, kFree, or the SlotId it was lent to
  uint32_t ring_index;  // position in the holder's input ring (orders what a dead NF leaves)
  uint16_t offset;
  uint16_t length;
  uint8_t generation;   // of the present loan, 4 bits used
  uint8_t port_in;
  uint8_t position;     // in the chain
  uint8_t out;          // PortId after the chain, 0xff: none
  uint32_t link;        // next in a backlog: a BufferId or 0xffffffff
};
static_assert(sizeof(PacketMeta) == 32);
inline constexpr uint32_t kFree = 0xffffffff;          // in the pool (or a driver's hands)
inline constexpr uint32_t kHeldBySwitch = 0xfffffffe;  // in a turn, backlog or tx queue
// Blank buffers on loan carry the lender's slot as holder and this as binding.
inline constexpr uint32_t kBlankLoan = 0xfffffffd;

class Arena {
 public:
  struct Options {
    uint32_t small_count;
    uint32_t jumbo_count;
    bool try_huge;   // fall back to ordinary pages
    bool need_huge;  // fail instead
  };
  // EAL must be initialised. Creates, pre-faults and seals the memfd and both mbuf pools.
  static absl::StatusOr<std::unique_ptr<Arena>> create(const Options& options);
  virtual ~Arena();

  int fd() const;               // sealed; handed to zygotes
  uint64_t bytes() const;
  bool huge() const;
  uint32_t small_count() const { return small_count_; }
  uint32_t buffer_count() const { return buffer_count_; }

  uint8_t* buffer(BufferId b) const { return base_ + buffer_offset(b, small_count_); }
  uint32_t buffer_bytes(BufferId b) const { return mayfly::buffer_bytes(b, small_count_); }
  PacketMeta& meta(BufferId b) { return meta_[index(b)]; }
  uint8_t* packet(BufferId b) { return buffer(b) + meta_[index(b)].offset; }

  // A free small (or jumbo) buffer as kHeldBySwitch with offset = kHeadroomBytes, length 0 and the
  // rest of its meta unset; kNone when there is none. O(1), no system call, does not touch mbufs.
  BufferId alloc() {
    if (spare_count_ == 0 && !refill()) return kNone<BufferId>;
    const BufferId b = spare_[--spare_count_];
    PacketMeta& m = meta_[index(b)];
    m.holder = kHeldBySwitch;
    m.offset = kHeadroomBytes;
    m.length = 0;
    return b;
  }
  BufferId alloc_jumbo();
  // Back to the pool.
  void free(BufferId b) {
    meta_[index(b)].holder = kFree;
    if (raw(b) >= small_count_) return free_jumbo(b);
    if (spare_count_ == kSpareMax) spill();
    spare_[spare_count_++] = b;
  }

  // For drivers. adopt(): an mbuf just received becomes a held buffer (single segment, ours; its
  // offset and length are copied to meta). release(): a held buffer becomes an mbuf to hand to
  // tx_burst (offset and length copied back); its meta says kFree from then on.
  BufferId adopt(rte_mbuf* mbuf);
  rte_mbuf* release(BufferId b);
  rte_mbuf* mbuf_of(BufferId b) const { return mbufs_[index(b)]; }
  BufferId buffer_of(const rte_mbuf* mbuf) const;
  rte_mempool* small_pool() const { return small_pool_; }

  // Buffers whose meta is not kFree and that hold a packet (not a blank loan): the independent
  // count behind the ledger's check. O(buffers): not for the packet path.
  uint64_t count_held() const;

 protected:
  Arena() = default;
  bool refill();        // spare_ from the mempool, in bulk
  void spill();         // half of spare_ back to it
  void free_jumbo(BufferId b);

  static constexpr uint32_t kSpareMax = 1024;
  uint8_t* base_ = nullptr;
  uint32_t small_count_ = 0;
  uint32_t buffer_count_ = 0;
  uint32_t spare_count_ = 0;
  std::vector<BufferId> spare_;
  std::vector<PacketMeta> meta_;
  std::vector<rte_mbuf*> mbufs_;
  rte_mempool* small_pool_ = nullptr;
  rte_mempool* jumbo_pool_ = nullptr;
};

}  // namespace mayfly
