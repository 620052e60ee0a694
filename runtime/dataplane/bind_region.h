// The bind region: compiled configurations, read by NFs in place. Equal ones are stored once.
// The control thread's alone; NFs map it read-only (the memfd is sealed against future writers).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "runtime/arena/memory.h"
#include "runtime/base/types.h"
#include "runtime/vswitch/records.h"

namespace mayfly {

class BindRegion {
 public:
  static absl::StatusOr<BindRegion> create(uint64_t bytes);

  int fd() const { return memory_.fd(); }
  uint64_t bytes() const { return memory_.bytes(); }

  // The blob holding `config`, which must not be empty; `fresh` if it was stored just now.
  // ResourceExhausted when the region is full.
  absl::StatusOr<BlobId> add(std::span<const uint8_t> config, bool& fresh);
  BlobRecord record(BlobId blob) const { return blobs_[index(blob)].record; }
  // Nobody uses it: its bytes may be given to another.
  void remove(BlobId blob);

 private:
  struct Blob {
    BlobRecord record;
    uint8_t size_class = 0;
    bool live = false;
  };
  static constexpr uint32_t kUnit = 64;  // bytes; blobs are aligned to it
  static constexpr uint32_t kClasses = 11;  // 64 B .. 64 KiB

  std::string key_of(BlobId blob) const;

  SealedMemory memory_;
  std::vector<Blob> blobs_;
  std::vector<BlobId> free_ids_;
  std::vector<uint32_t> free_[kClasses];  // offsets, by size class
  uint64_t used_bytes_ = 0;
  absl::flat_hash_map<std::string, BlobId> by_content_;
};

}  // namespace mayfly
