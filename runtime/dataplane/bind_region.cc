#include "runtime/dataplane/bind_region.h"

#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace mayfly {

absl::StatusOr<BindRegion> BindRegion::create(uint64_t bytes) {
  const uint64_t rounded = (bytes + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
  auto memory = SealedMemory::create("mayfly-bind", rounded, false, SealedMemory::Others::read_only);
  if (!memory.ok()) return memory.status();
  BindRegion region;
  region.memory_ = *std::move(memory);
  return region;
}

absl::StatusOr<BlobId> BindRegion::add(std::span<const uint8_t> config, bool& fresh) {
  std::string content(reinterpret_cast<const char*>(config.data()), config.size());
  fresh = false;
  if (const auto found = by_content_.find(content); found != by_content_.end())
    return found->second;
  const auto units = static_cast<uint32_t>((config.size() + kUnit - 1) / kUnit);
  const auto size_class = static_cast<uint8_t>(std::bit_width(units - 1));
  uint32_t offset;
  if (!free_[size_class].empty()) {
    offset = free_[size_class].back();
    free_[size_class].pop_back();
  } else {
    const uint64_t bytes = uint64_t{kUnit} << size_class;
    if (used_bytes_ + bytes > memory_.bytes())
      return absl::ResourceExhaustedError(
          absl::StrCat("no room for another configuration of ", config.size(), " bytes: all ",
                       memory_.bytes() >> 20, " MiB of memory.bind are in use; raise it"));
    offset = static_cast<uint32_t>(used_bytes_);
    used_bytes_ += bytes;
  }
  std::memcpy(memory_.base() + offset, config.data(), config.size());
  BlobId id;
  if (free_ids_.empty()) {
    id = static_cast<BlobId>(blobs_.size());
    blobs_.emplace_back();
  } else {
    id = free_ids_.back();
    free_ids_.pop_back();
  }
  blobs_[index(id)] = {{offset, static_cast<uint32_t>(config.size())}, size_class, true};
  by_content_.emplace(std::move(content), id);
  fresh = true;
  return id;
}

std::string BindRegion::key_of(BlobId blob) const {
  const BlobRecord& record = blobs_[index(blob)].record;
  return {reinterpret_cast<const char*>(memory_.base() + record.offset), record.bytes};
}

void BindRegion::remove(BlobId blob) {
  Blob& b = blobs_[index(blob)];
  if (!b.live) return;
  by_content_.erase(key_of(blob));
  free_[b.size_class].push_back(b.record.offset);
  free_ids_.push_back(blob);
  b.live = false;
}

}  // namespace mayfly
