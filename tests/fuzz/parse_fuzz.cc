// The fuzz body of the packet parser and what stands behind it. Bytes are a frame. Properties:
//   - nothing outside the frame is read: it ends where an inaccessible page begins
//   - the answer is that of the byte-by-byte reference
//   - masking the key changes neither the rule nor the instance
//   - fragments of a datagram get one key, whatever comes
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "flowdir/flow_table.h"
#include "flowdir/rules.h"
#include "tests/fuzz/reference_parser.h"

namespace mayfly {
namespace {

constexpr size_t kFrameBytesMax = 65536;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "parse fuzz: %s\n", what);
  std::abort();
}

// Memory with nothing behind it.
uint8_t* guarded_end() {
  static uint8_t* const end = [] {
    void* const memory = mmap(nullptr, 2 * kFrameBytesMax, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(memory != MAP_FAILED, "mmap");
    uint8_t* const guard = static_cast<uint8_t*>(memory) + kFrameBytesMax;
    require(mprotect(guard, kFrameBytesMax, PROT_NONE) == 0, "mprotect");
    return guard;
  }();
  return end;
}

const RuleSet& rules() {
  static const RuleSet rules = [] {
    Prefix ten{};
    ten.address[10] = ten.address[11] = 0xff;
    ten.address[12] = 10;
    ten.bits = 96 + 9;
    return RuleSet(
        {Rule{.match = {.vlan = Range<uint16_t>{1, 99}}, .instance_per = KeyBy::vlan},
         Rule{.match = {.src_ip = ten}, .instance_per = KeyBy::src_ip},
         Rule{.match = {.src_ip = Prefix{}}, .instance_per = KeyBy::ip_pair},
         Rule{.match = {.dst_port = Range<uint16_t>{0, 1023}}, .instance_per = KeyBy::five_tuple},
         Rule{.match = {.ethertype = 0x0806}, .instance_per = KeyBy::mac}});
  }();
  return rules;
}

void check_rules(const PacketKey& key) {
  const PacketKey masked = rules().mask_of(PortId{key.port}).apply(key);
  const RuleId rule = rules().match(key);
  require(rules().match(masked) == rule, "masking changed the rule");
  if (rule == kNone<RuleId>) return;
  const KeyBy by = rules().rule(rule).instance_per;
  const InstanceKey instance = instance_key(by, key, rule);
  require(instance == instance_key(by, masked, rule), "masking changed the instance");
  require(!to_string(instance).empty(), "a key without a text");
}

void check_fragments(const ParsedPacket& packet) {
  FragmentTable table(2, 1);
  ParsedPacket before = packet, again = packet;
  table.steer(before, Cycles{0}, Cycles{10});
  require(before.key == packet.key, "the first to come was rewritten");
  again.key.src_port = Be16{static_cast<uint16_t>(~again.key.src_port.wire)};
  table.steer(again, Cycles{9}, Cycles{10});
  require(again.key == packet.key, "fragments of a datagram part");
}

}  // namespace
}  // namespace mayfly

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mayfly;
  if (size > kFrameBytesMax) return 0;
  uint8_t* const frame = guarded_end() - size;
  if (size > 0) std::memcpy(frame, data, size);
  ParsedPacket packet;
  parse({frame, size}, PortId{7}, packet);
  const std::string wrong = difference(packet, reference_parse({frame, size}, PortId{7}));
  require(wrong.empty(), wrong.c_str());
  check_rules(packet.key);
  if (packet.fragment != Fragment::none) check_fragments(packet);
  return 0;
}
