// The packet arena of one trust domain, and the vSwitch's private record of every buffer in it.
//
//   memfd (NFs map it)   [ small 0 | small 1 | ... 2 KiB each ][ jumbo 0 | ... 64 KiB each ]
//   private              mbuf of each buffer, PacketMeta of each buffer
//
// Buffers lie in a sealed memfd that NFs map; the mbufs that point at them (DPDK's pinned external
// buffers) and PacketMeta lie in private memory, so no NF can damage either. Drivers see ordinary
// mbufs; everything else here works with BufferId, and touches an mbuf only where a driver is
// involved.
//
// A free buffer is in one of three places:
//
//   spare_         a stack of ids: alloc() and free() are a pop and a push
//   the mempool    where drivers take buffers for what they receive, and free what they have sent
//   a driver       its receive descriptors, its transmit ring
//
// Buffers move between the first two in bulk. While no device port is open the stack holds all of
// them and no mbuf is ever touched; serve_drivers() leaves it a small share.
//
// Invariant: the mbuf of a buffer that is not in a driver's hands is as rte_mbuf_raw_alloc() must
// find it (refcnt 1, one segment, no next, EXTERNAL the only flag), so that any mbuf can go back to
// the mempool unseen. Whatever a driver left in a received one is undone in adopt().
//
// Limits. A frame as it arrives lies kHeadroomBytes into its buffer: kSmallFrameBytesMax fit a
// small one. rte_mbuf counts a buffer's bytes in 16 bits, so the last byte of a jumbo buffer is out
// of its reach and a frame may have kFrameBytesMax = 65,535 - 128 = 65,407 bytes. What an NF makes
// of it may use all 65,536 bytes of the buffer (offset + length), of which length's 16 bits can
// say 65,535.
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
#include "runtime/arena/memory.h"
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
  uint8_t generation;  // of the present loan, 4 bits used
  uint8_t port_in;
  uint8_t position;  // in the chain
  uint8_t out;       // PortId after the chain, 0xff: none
  uint32_t link;     // next in a backlog: a BufferId or 0xffffffff
};
static_assert(sizeof(PacketMeta) == 32);
inline constexpr uint32_t kFree = 0xffffffff;          // in the pool (or a driver's hands)
inline constexpr uint32_t kHeldBySwitch = 0xfffffffe;  // in a turn, backlog or tx queue
// Blank buffers on loan carry the lender's slot as holder and this as binding.
inline constexpr uint32_t kBlankLoan = 0xfffffffd;

inline constexpr uint32_t kJumboReachBytes = 65535;  // of a jumbo buffer, by an mbuf
inline constexpr uint32_t kSmallFrameBytesMax = kSmallBufferBytes - kHeadroomBytes;
inline constexpr uint32_t kFrameBytesMax = kJumboReachBytes - kHeadroomBytes;
static_assert(kFrameBytesMax == 65407, "documented above and in docs/config.md");

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
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  int fd() const { return memory_.fd(); }  // sealed; handed to zygotes
  uint64_t bytes() const { return memory_.bytes(); }
  bool huge() const { return memory_.huge(); }
  uint8_t* base() const { return base_; }
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
    return hold(spare_[--spare_count_]);
  }
  BufferId alloc_jumbo();
  // The one of the two that a frame of `bytes` needs (at most kFrameBytesMax).
  BufferId alloc_for(uint32_t bytes) {
    return bytes <= kSmallFrameBytesMax ? alloc() : alloc_jumbo();
  }
  // Back to the pool.
  void free(BufferId b) {
    meta_[index(b)].holder = kFree;
    if (raw(b) >= small_count_) return free_jumbo(b);
    if (spare_count_ == spare_max_) spill();
    spare_[spare_count_++] = b;
  }

  // From now on the mempools hold all but a few of the free buffers. Called when a device port
  // opens; `rx_jumbo`: the device receives into jumbo buffers.
  void serve_drivers(bool rx_jumbo);

  // For drivers. adopt(): an mbuf just received becomes a held buffer; its offset and length are
  // copied to meta. Only if adoptable(): one segment, ours, nobody else refers to it.
  bool adoptable(const rte_mbuf* mbuf) const;
  BufferId adopt(rte_mbuf* mbuf);
  // release(): a held buffer becomes an mbuf to hand to tx_burst (offset and length copied back);
  // its meta says kFree from then on, its other fields stay readable. take_back(): one that the
  // driver did not take is held again.
  rte_mbuf* release(BufferId b);
  void take_back(BufferId b) { meta_[index(b)].holder = kHeldBySwitch; }
  rte_mbuf* mbuf_of(BufferId b) const { return mbufs_[index(b)]; }
  // kNone for an mbuf whose data is not in this arena.
  BufferId buffer_of(const rte_mbuf* mbuf) const;
  rte_mempool* small_pool() const { return small_pool_; }
  rte_mempool* jumbo_pool() const { return jumbo_pool_; }

  // Buffers whose meta is not kFree and that hold a packet (not a blank loan): the independent
  // count behind the ledger's check. O(buffers): not for the packet path.
  uint64_t count_held() const;

 private:
  static constexpr uint32_t kBulk = 512;  // buffers moved between stack and mempool at once

  Arena() = default;
  absl::Status create_pools(uint32_t jumbo_count);
  void index_pool(rte_mempool* pool);
  BufferId hold(BufferId b) {
    PacketMeta& m = meta_[index(b)];
    m.holder = kHeldBySwitch;
    m.offset = kHeadroomBytes;
    m.length = 0;
    return b;
  }
  // `count` ids from / to a mempool. take() returns how many there were.
  uint32_t take(rte_mempool* pool, BufferId* to, uint32_t count);
  void give(rte_mempool* pool, const BufferId* from, uint32_t count);
  bool refill();  // spare_ from the mempool, in bulk
  void spill();   // a bulk of spare_ back to it
  void free_jumbo(BufferId b);

  SealedMemory memory_;
  uint8_t* base_ = nullptr;
  uint32_t small_count_ = 0;
  uint32_t buffer_count_ = 0;
  uint32_t spare_count_ = 0;
  uint32_t spare_max_ = 0;  // at this many, free() spills
  std::vector<BufferId> spare_;
  std::vector<PacketMeta> meta_;
  std::vector<rte_mbuf*> mbufs_;
  std::vector<BufferId> spare_jumbo_;  // same, for the jumbo buffers
  uint32_t spare_jumbo_max_ = 0;
  rte_mempool* small_pool_ = nullptr;
  rte_mempool* jumbo_pool_ = nullptr;
  bool registered_ = false;
};

}  // namespace mayfly
