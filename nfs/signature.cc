// signature: computes a signature over the first 64 bytes of every packet, the workload of Cerrato,
// Annarumma and Risso's study of tiny NFs ("Supporting fine-grained network functions through
// Intel DPDK"), and drops the packets whose signature is listed.
//
// The signature is CRC-32C (Castagnoli; RFC 3720 appendix B.4) of the first 64 bytes of the frame,
// a shorter frame counting as filled up with zeroes: one SSE 4.2 instruction per 8 bytes.
#include <nmmintrin.h>

#include <algorithm>
#include <cstring>

#include "nfs/nf.h"
#include "nfs/text.h"

namespace mayfly {
namespace {

inline constexpr uint32_t kSignedBytes = 64;
inline constexpr uint32_t kListedCountMax = 1024;

struct SignatureConfig {
  uint32_t listed_count;
  // then listed_count signatures, ascending
};

uint32_t signature_of(const Packet& packet) {
  alignas(8) uint8_t padded[kSignedBytes];
  const uint8_t* bytes = packet.data();
  if (packet.size() < kSignedBytes) {
    std::memset(padded, 0, sizeof(padded));
    std::memcpy(padded, bytes, packet.size());
    bytes = padded;
  }
  uint64_t crc = 0xffffffff;
  for (uint32_t at = 0; at < kSignedBytes; at += 8) {
    uint64_t word;
    std::memcpy(&word, bytes + at, sizeof(word));
    crc = _mm_crc32_u64(crc, word);
  }
  return ~static_cast<uint32_t>(crc);
}

class Signature final : public NetworkFunction {
 public:
  void bind(const Binding& binding) override {
    listed_ = {};
    const auto* config = binding.config_as<SignatureConfig>();
    const size_t room = binding.config.size() / sizeof(uint32_t);
    if (config == nullptr || config->listed_count >= room) return;
    listed_ = {reinterpret_cast<const uint32_t*>(config + 1), config->listed_count};
  }

  void process(Burst& burst) override {
    for (Packet& packet : burst) {
      const uint32_t signature = signature_of(packet);
      digest_ = _mm_crc32_u32(digest_, signature);
      if (!listed_.empty() && std::binary_search(listed_.begin(), listed_.end(), signature))
        packet.drop();
    }
  }

  void reset() override {
    digest_ = 0;
    listed_ = {};
  }

 private:
  std::span<const uint32_t> listed_;
  uint32_t digest_ = 0;  // of all signatures, so that none is computed in vain
};

bool compile(const Args& args, std::vector<std::byte>& config, ArgError& error) {
  std::vector<uint32_t> listed;
  WordLines words(args.text("drop"));
  while (words.next()) {
    for (std::string_view word : words.words()) {
      const auto value = parse_number(word, UINT32_MAX, 16);
      if (!value || word.size() != 8) {
        error = {"drop", 0, quoted(word) + " is not a signature: write 8 hexadecimal digits"};
        return false;
      }
      listed.push_back(*value);
    }
  }
  std::sort(listed.begin(), listed.end());
  listed.erase(std::unique(listed.begin(), listed.end()), listed.end());
  if (listed.size() > kListedCountMax) {
    error = {"drop", 0, "at most 1024 signatures, not " + std::to_string(listed.size())};
    return false;
  }
  append_config(config, SignatureConfig{static_cast<uint32_t>(listed.size())});
  for (uint32_t signature : listed) append_config(config, signature);
  return true;
}

NetworkFunction* create(std::span<const std::byte>) { return new Signature; }

constexpr NfArg kArgs[] = {
    {"drop", ArgType::text, "signatures (CRC-32C of the first 64 bytes, 8 hex digits each) to drop",
     ""},
};
constexpr NfImage kImage = {
    .name = "signature",
    .summary = "CRC-32C signature over the first 64 bytes of every packet",
    .args = kArgs,
    .compile = compile,
    .create = create,
};

}  // namespace
}  // namespace mayfly

MAYFLY_NF_IMAGE(mayfly::kImage);
