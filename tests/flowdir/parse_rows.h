// One row for every kind of frame that parse() knows: the parser's test, and the seed of its fuzz
// corpus.
#pragma once

#include <vector>

#include "flowdir/packet_key.h"
#include "tests/flowdir/frames.h"

namespace mayfly::frames {

struct Expected {
  const char* src_ip = "";  // empty: all zero
  const char* dst_ip = "";
  uint16_t src_port = 0, dst_port = 0;
  uint8_t protocol = 0;
  uint16_t ethertype = 0;
  uint16_t outer_vlan = 0, inner_vlan = 0;
  Fragment fragment = Fragment::none;
  uint32_t fragment_id = 0;
  uint8_t tcp_flags = 0;
};

struct ParseRow {
  const char* name;
  Bytes frame;
  Expected expected;
};

std::vector<ParseRow> parse_rows();

}  // namespace mayfly::frames
