// parse() once more, as slowly and plainly as possible: one byte at a time, every access checked.
// What the fuzz body and the tests hold the fast one against.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "flowdir/packet_key.h"

namespace mayfly {

ParsedPacket reference_parse(std::span<const uint8_t> frame, PortId port);

// Empty if equal, otherwise the first field that differs.
std::string difference(const ParsedPacket& a, const ParsedPacket& b);

}  // namespace mayfly
