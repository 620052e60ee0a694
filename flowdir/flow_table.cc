#include "flowdir/flow_table.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <new>

#include "runtime/base/check.h"

namespace mayfly {
namespace {

constexpr uint32_t kFlowsPerBucket = 8;  // of ten places, at most, on average
constexpr size_t kHugePageBytes = size_t{2} << 20;

uint32_t bucket_count_for(uint32_t flow_count_max) {
  const uint32_t wanted = (flow_count_max + kFlowsPerBucket - 1) / kFlowsPerBucket;
  return std::bit_ceil(std::max(wanted, 2u));  // two, so that `other` differs
}

// A page that the packet path is the first to touch costs it a fault of up to 0.1 ms.
void touch_every_page(void* memory, size_t bytes) {
#ifdef MADV_POPULATE_WRITE  // Linux 5.14
  if (madvise(memory, bytes, MADV_POPULATE_WRITE) == 0) return;
#endif
  const size_t page_bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  auto* const first = static_cast<volatile char*>(memory);
  for (size_t offset = 0; offset < bytes; offset += page_bytes) first[offset] = 0;
}

}  // namespace

void FlowTable::Unmap::operator()(void* memory) const { munmap(memory, bytes); }

// Zeroed, on transparent huge pages where the kernel gives them.
template <class T>
FlowTable::Mapped<T> FlowTable::map_zeroed(size_t count) {
  size_t bytes = count * sizeof(T);
  if (bytes >= kHugePageBytes) bytes = (bytes + kHugePageBytes - 1) & ~(kHugePageBytes - 1);
  void* const memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  madvise(memory, bytes, MADV_HUGEPAGE);  // a wish: the table works on any page size
  madvise(memory, bytes, MADV_DONTFORK);  // its owner's alone
  touch_every_page(memory, bytes);
  return Mapped<T>(static_cast<T*>(memory), Unmap{bytes});
}

FlowTable::FlowTable(uint32_t flow_count_max, uint64_t secret)
    : hash_(secret),
      capacity_(flow_count_max),
      bucket_mask_(bucket_count_for(flow_count_max) - 1),
      buckets_(map_zeroed<Bucket>(bucket_mask_ + 1)),
      entries_(map_zeroed<FlowEntry>(std::max(flow_count_max, 1u))) {
  MAYFLY_CHECK(bucket_mask_ < (1u << 20));  // home and step are 20 bits of the hash each
}

FlowTable::~FlowTable() = default;

// A free place of the bucket, or kPlaces. With `moves` left, full buckets make room: one of their
// flows moves to its other bucket.
uint32_t FlowTable::place_with_room(uint32_t bucket_index, uint32_t moves) {
  Bucket& bucket = buckets_[bucket_index];
  if (const uint32_t free = places_of(bucket, 0); free != 0) return std::countr_zero(free);
  for (uint32_t depth = 0; depth < moves; ++depth) {  // the nearest room first
    for (uint32_t place = 0; place < kPlaces; ++place) {
      const uint32_t flow = bucket.flows[place];
      const uint64_t hash = entries_[flow].hash;
      if (!put(other(bucket_index, hash), depth, flow, hash)) continue;
      take_out(bucket_index, place, hash);
      return place;
    }
  }
  return kPlaces;
}

bool FlowTable::put(uint32_t bucket_index, uint32_t moves, uint32_t flow, uint64_t hash) {
  const uint32_t place = place_with_room(bucket_index, moves);
  if (place == kPlaces) return false;
  buckets_[bucket_index].tags[place] = tag(hash);
  buckets_[bucket_index].flows[place] = flow;
  if (bucket_index != home(hash)) ++buckets_[home(hash)].strays;
  return true;
}

void FlowTable::take_out(uint32_t bucket_index, uint32_t place, uint64_t hash) {
  buckets_[bucket_index].tags[place] = 0;
  if (bucket_index != home(hash)) --buckets_[home(hash)].strays;
}

FlowId FlowTable::insert(const PacketKey& masked, uint64_t hash) {
  const bool reused = free_list_ != kEndOfList;
  if (!reused && used_ == capacity_) return kNone<FlowId>;
  const uint32_t flow = reused ? free_list_ : used_;
  const uint32_t first = home(hash), second = other(first, hash);
  if (!put(first, 0, flow, hash) && !put(second, 0, flow, hash) &&
      !put(first, kMoves, flow, hash) && !put(second, kMoves, flow, hash)) {
    return kNone<FlowId>;
  }
  FlowEntry& entry = entries_[flow];
  if (reused) {
    free_list_ = entry.next_free;
  } else {
    ++used_;
  }
  entry.key = masked;
  entry.state = FlowState{};
  entry.hash = hash;
  entry.next_free = kLive;
  ++size_;
  return FlowId{flow};
}

void FlowTable::erase(FlowId flow) {
  MAYFLY_CHECK(live(flow));
  FlowEntry& entry = entries_[index(flow)];
  const uint16_t its_tag = tag(entry.hash);
  const uint32_t first = home(entry.hash);
  for (const uint32_t bucket : {first, other(first, entry.hash)}) {
    for (uint32_t places = places_of(buckets_[bucket], its_tag); places != 0;
         places &= places - 1) {
      const uint32_t place = std::countr_zero(places);
      if (buckets_[bucket].flows[place] != raw(flow)) continue;
      take_out(bucket, place, entry.hash);
      entry.next_free = free_list_;
      free_list_ = raw(flow);
      --size_;
      return;
    }
  }
  MAYFLY_CHECK(!"a live flow stands in one of its two buckets");
}

bool FlowTable::invariants_hold() const {
  std::vector<uint32_t> strays(bucket_mask_ + 1, 0), times_seen(capacity_, 0);
  for (uint32_t bucket = 0; bucket <= bucket_mask_; ++bucket) {
    for (uint32_t place = 0; place < kPlaces; ++place) {
      if (buckets_[bucket].tags[place] == 0) continue;
      const uint32_t flow = buckets_[bucket].flows[place];
      if (flow >= used_ || !live(FlowId{flow})) return false;
      const uint64_t hash = entries_[flow].hash;
      const uint32_t first = home(hash);
      if (buckets_[bucket].tags[place] != tag(hash)) return false;
      if (bucket != first && bucket != other(first, hash)) return false;
      strays[first] += bucket != first;
      ++times_seen[flow];
    }
  }
  for (uint32_t bucket = 0; bucket <= bucket_mask_; ++bucket) {
    if (buckets_[bucket].strays != strays[bucket]) return false;
  }
  uint32_t live_count = 0;
  for (uint32_t flow = 0; flow < used_; ++flow) {
    if (times_seen[flow] != (live(FlowId{flow}) ? 1 : 0)) return false;
    live_count += times_seen[flow];
  }
  return live_count == size_;
}

}  // namespace mayfly
