#include "runtime/arena/arena.h"

#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_memory.h>
#include <rte_mempool.h>

#include <algorithm>

#include "fmt/format.h"
#include "runtime/base/check.h"

namespace mayfly {
namespace {

static_assert(RTE_PKTMBUF_HEADROOM == kHeadroomBytes, "where drivers put a received packet");

uint32_t cache_size(uint32_t count) {
  // DPDK's bound is count / 1.5; below that a cache only hides buffers.
  return std::min<uint32_t>(RTE_MEMPOOL_CACHE_MAX_SIZE, count / 4);
}

absl::Status pool_failed(uint32_t count) {
  return absl::ResourceExhaustedError(
      fmt::format("no memory for {} packet records (DPDK: {}); lower memory.packets", count,
                  rte_strerror(rte_errno)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Arena>> Arena::create(const Options& options) {
  const uint64_t count = uint64_t{options.small_count} + options.jumbo_count;
  if (options.small_count == 0 || count > (1u << kBufferIndexBits)) {
    return absl::InvalidArgumentError(fmt::format(
        "an arena of {} packet buffers; 1 to {} are possible", count, 1u << kBufferIndexBits));
  }
  RegionHeader layout{};
  layout.small_count = options.small_count;
  layout.jumbo_count = options.jumbo_count;
  lay_out(layout);

  absl::StatusOr<SealedMemory> memory = absl::UnavailableError("not tried");
  if (options.try_huge || options.need_huge) {
    memory = SealedMemory::create("mayfly-arena", layout.arena_bytes, true);
    if (!memory.ok() && options.need_huge) {
      return absl::ResourceExhaustedError(fmt::format(
          "hugepages: on, but {} pages of 2 MiB for the packet arena are not to be had ({} are "
          "free); raise /proc/sys/vm/nr_hugepages or set hugepages: auto",
          layout.arena_bytes / kHugePageBytes, free_huge_pages()));
    }
  }
  if (!memory.ok()) memory = SealedMemory::create("mayfly-arena", layout.arena_bytes, false);
  if (!memory.ok()) return memory.status();

  std::unique_ptr<Arena> arena(new Arena);
  arena->memory_ = std::move(*memory);
  arena->base_ = arena->memory_.base();
  arena->small_count_ = options.small_count;
  arena->buffer_count_ = static_cast<uint32_t>(count);
  if (absl::Status s = arena->create_pools(options.jumbo_count); !s.ok()) return s;
  return arena;
}

absl::Status Arena::create_pools(uint32_t jumbo_count) {
  // 2 MiB as the page size even on ordinary pages: DPDK keeps a record per page of it, and nothing
  // here needs a finer one (addresses are virtual ones, see start_eal()).
  if (rte_extmem_register(base_, bytes(), nullptr, 0, kHugePageBytes) != 0) {
    return pool_failed(buffer_count_);
  }
  registered_ = true;

  rte_pktmbuf_extmem small{base_, reinterpret_cast<uintptr_t>(base_),
                           size_t{small_count_} * kSmallBufferBytes, kSmallBufferBytes};
  small_pool_ = rte_pktmbuf_pool_create_extbuf(fmt::format("arena{}_small", fd()).c_str(),
                                               small_count_, cache_size(small_count_), 0,
                                               kSmallBufferBytes, SOCKET_ID_ANY, &small, 1);
  if (small_pool_ == nullptr) return pool_failed(small_count_);
  if (jumbo_count > 0) {
    // A range of one element each, because 65,536 does not fit elt_size.
    std::vector<rte_pktmbuf_extmem> ranges;
    for (uint32_t i = 0; i < jumbo_count; ++i) {
      uint8_t* at = buffer(BufferId{small_count_ + i});
      ranges.push_back(
          {at, reinterpret_cast<uintptr_t>(at), kJumboReachBytes, uint16_t{kJumboReachBytes}});
    }
    jumbo_pool_ = rte_pktmbuf_pool_create_extbuf(
        fmt::format("arena{}_jumbo", fd()).c_str(), jumbo_count, cache_size(jumbo_count), 0,
        kJumboReachBytes, SOCKET_ID_ANY, ranges.data(), jumbo_count);
    if (jumbo_pool_ == nullptr) return pool_failed(jumbo_count);
  }

  meta_.assign(buffer_count_, PacketMeta{});
  for (PacketMeta& m : meta_) m.holder = kFree;
  mbufs_.assign(buffer_count_, nullptr);
  index_pool(small_pool_);
  if (jumbo_pool_ != nullptr) index_pool(jumbo_pool_);

  spare_.resize(small_count_);
  spare_max_ = small_count_;
  spare_count_ = take(small_pool_, spare_.data(), small_count_);
  spare_jumbo_.resize(jumbo_count);
  spare_jumbo_max_ = jumbo_count;
  if (jumbo_count > 0) spare_jumbo_.resize(take(jumbo_pool_, spare_jumbo_.data(), jumbo_count));
  MAYFLY_CHECK(spare_count_ == small_count_ && spare_jumbo_.size() == jumbo_count);
  return absl::OkStatus();
}

void Arena::index_pool(rte_mempool* pool) {
  rte_mempool_obj_iter(
      pool,
      [](rte_mempool*, void* self, void* object, unsigned) {
        auto* arena = static_cast<Arena*>(self);
        auto* mbuf = static_cast<rte_mbuf*>(object);
        arena->mbufs_[index(arena->buffer_of(mbuf))] = mbuf;
      },
      this);
}

Arena::~Arena() {
  rte_mempool_free(small_pool_);
  rte_mempool_free(jumbo_pool_);
  if (registered_) rte_extmem_unregister(base_, bytes());
}

uint32_t Arena::take(rte_mempool* pool, BufferId* to, uint32_t count) {
  void* objects[kBulk];
  uint32_t taken = 0;
  // get_bulk is all or nothing: near the end of the pool, smaller steps.
  for (uint32_t step : {kBulk, uint32_t{32}, uint32_t{1}}) {
    while (count - taken >= step && rte_mempool_get_bulk(pool, objects, step) == 0) {
      for (uint32_t i = 0; i < step; ++i) {
        to[taken++] = buffer_of(static_cast<rte_mbuf*>(objects[i]));
      }
    }
  }
  return taken;
}

void Arena::give(rte_mempool* pool, const BufferId* from, uint32_t count) {
  void* objects[kBulk];
  while (count > 0) {
    const uint32_t n = std::min(count, kBulk);
    for (uint32_t i = 0; i < n; ++i) objects[i] = mbufs_[index(from[i])];
    rte_mempool_put_bulk(pool, objects, n);
    from += n;
    count -= n;
  }
}

bool Arena::refill() {
  spare_count_ = take(small_pool_, spare_.data(), std::min(kBulk, std::max(1u, spare_max_ / 2)));
  return spare_count_ > 0;
}

void Arena::spill() {
  // From the bottom of the stack: what was freed last stays, it is warm.
  const uint32_t n = std::min(kBulk, std::max(1u, spare_max_ / 2));
  give(small_pool_, spare_.data(), n);
  spare_count_ -= n;
  std::copy(spare_.begin() + n, spare_.begin() + n + spare_count_, spare_.begin());
}

void Arena::serve_drivers(bool rx_jumbo) {
  if (spare_max_ == small_count_) {
    spare_max_ = std::clamp(small_count_ / 4, 1u, 2 * kBulk);
    if (spare_count_ > spare_max_) {
      give(small_pool_, spare_.data() + spare_max_, spare_count_ - spare_max_);
      spare_count_ = spare_max_;
    }
  }
  if (rx_jumbo && spare_jumbo_max_ > 0) {
    spare_jumbo_max_ = 0;
    give(jumbo_pool_, spare_jumbo_.data(), static_cast<uint32_t>(spare_jumbo_.size()));
    spare_jumbo_.clear();
  }
}

BufferId Arena::alloc_jumbo() {
  if (!spare_jumbo_.empty()) {
    const BufferId b = spare_jumbo_.back();
    spare_jumbo_.pop_back();
    return hold(b);
  }
  BufferId b;
  if (jumbo_pool_ == nullptr || take(jumbo_pool_, &b, 1) == 0) return kNone<BufferId>;
  return hold(b);
}

void Arena::free_jumbo(BufferId b) {
  if (spare_jumbo_.size() >= spare_jumbo_max_) return give(jumbo_pool_, &b, 1);
  spare_jumbo_.push_back(b);  // within its capacity: allocated at creation
}

bool Arena::adoptable(const rte_mbuf* mbuf) const {
  return mbuf->nb_segs == 1 && mbuf->next == nullptr && rte_mbuf_refcnt_read(mbuf) == 1 &&
         buffer_of(mbuf) != kNone<BufferId>;
}

BufferId Arena::adopt(rte_mbuf* mbuf) {
  const BufferId b = buffer_of(mbuf);
  mbuf->ol_flags = RTE_MBUF_F_EXTERNAL;
  PacketMeta& m = meta_[index(b)];
  MAYFLY_CHECK(m.holder == kFree);
  m.holder = kHeldBySwitch;
  m.offset = mbuf->data_off;
  m.length = mbuf->data_len;
  return b;
}

rte_mbuf* Arena::release(BufferId b) {
  PacketMeta& m = meta_[index(b)];
  rte_mbuf* mbuf = mbufs_[index(b)];
  mbuf->data_off = m.offset;
  mbuf->data_len = m.length;
  mbuf->pkt_len = m.length;
  mbuf->nb_segs = 1;
  mbuf->next = nullptr;
  // No offload is asked for: checksums and tags are in the frame.
  mbuf->ol_flags = RTE_MBUF_F_EXTERNAL;
  mbuf->tx_offload = 0;
  mbuf->packet_type = 0;
  m.holder = kFree;
  return mbuf;
}

BufferId Arena::buffer_of(const rte_mbuf* mbuf) const {
  const uint64_t at =
      reinterpret_cast<uintptr_t>(mbuf->buf_addr) - reinterpret_cast<uintptr_t>(base_);
  const uint64_t small_bytes = uint64_t{small_count_} * kSmallBufferBytes;
  if (at < small_bytes) return BufferId{static_cast<uint32_t>(at / kSmallBufferBytes)};
  const uint64_t i = small_count_ + (at - small_bytes) / kJumboBufferBytes;
  return i < buffer_count_ ? BufferId{static_cast<uint32_t>(i)} : kNone<BufferId>;
}

uint64_t Arena::count_held() const {
  return static_cast<uint64_t>(std::count_if(meta_.begin(), meta_.end(), [](const PacketMeta& m) {
    return m.holder != kFree && (m.holder == kHeldBySwitch || m.binding != kBlankLoan);
  }));
}

}  // namespace mayfly
