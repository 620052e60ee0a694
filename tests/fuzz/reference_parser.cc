#include "tests/fuzz/reference_parser.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>

namespace mayfly {
namespace {

// Bytes [begin, end) of the frame; nothing outside exists.
class View {
 public:
  View(std::span<const uint8_t> frame, size_t begin, size_t end)
      : frame_(frame), begin_(begin), end_(std::min(end, frame.size())) {}
  bool has(size_t bytes) const { return begin_ + bytes <= end_; }
  size_t begin() const { return begin_; }
  uint32_t byte(size_t i) const { return frame_[begin_ + i]; }
  uint32_t number(size_t i, size_t bytes) const {
    uint32_t value = 0;
    for (size_t n = 0; n < bytes; ++n) value = value << 8 | byte(i + n);
    return value;
  }
  View from(size_t offset) const { return View(frame_, begin_ + offset, end_); }
  View until(size_t bytes) const { return View(frame_, begin_, std::min(end_, begin_ + bytes)); }

 private:
  std::span<const uint8_t> frame_;
  size_t begin_, end_;
};

void read_transport(const View& v, bool ipv6, ParsedPacket& out) {
  static const std::set<int> kWithPorts = {6, 17, 33, 132, 136};
  PacketKey& key = out.key;
  if (kWithPorts.count(key.protocol) && v.has(4)) {
    key.src_port = Be16::of(static_cast<uint16_t>(v.number(0, 2)));
    key.dst_port = Be16::of(static_cast<uint16_t>(v.number(2, 2)));
  }
  if (key.protocol == 6 && v.has(20) && v.byte(12) / 16 >= 5 && v.has(v.byte(12) / 16 * 4)) {
    out.tcp_flags = static_cast<uint8_t>(v.byte(13));
  }
  const std::set<uint32_t> echo = ipv6 ? std::set<uint32_t>{128, 129} : std::set<uint32_t>{0, 8};
  if (key.protocol == (ipv6 ? 58 : 1) && v.has(8) && echo.count(v.byte(0))) {
    key.src_port = key.dst_port = Be16::of(static_cast<uint16_t>(v.number(4, 2)));
  }
}

void read_ipv4(const View& v, ParsedPacket& out) {
  if (!v.has(20) || v.byte(0) / 16 != 4) return;
  const size_t header_bytes = v.byte(0) % 16 * 4, total_bytes = v.number(2, 2);
  if (header_bytes < 20 || total_bytes < header_bytes || !v.has(header_bytes)) return;
  PacketKey& key = out.key;
  key.src_ip[10] = key.src_ip[11] = key.dst_ip[10] = key.dst_ip[11] = 0xff;
  for (size_t i = 0; i < 4; ++i) {
    key.src_ip[12 + i] = static_cast<uint8_t>(v.byte(12 + i));
    key.dst_ip[12 + i] = static_cast<uint8_t>(v.byte(16 + i));
  }
  key.protocol = static_cast<uint8_t>(v.byte(9));
  out.ip_length = static_cast<uint32_t>(v.begin() + total_bytes);
  const bool more = v.byte(6) & 0x20;
  const uint32_t offset = v.number(6, 2) % 0x2000;
  if (more || offset > 0) {
    out.fragment = offset > 0 ? Fragment::later : Fragment::first;
    out.fragment_id = v.number(4, 2);
  }
  if (offset == 0) read_transport(v.until(total_bytes).from(header_bytes), false, out);
}

// The length of the extension header of this kind at v, if it is one and all there.
std::optional<size_t> header_bytes_of(uint32_t kind, const View& v) {
  if (!v.has(8)) return {};
  size_t bytes;
  if (kind == 44) {
    bytes = 8;
  } else if (kind == 51) {
    bytes = (v.byte(1) + 2) * 4;
  } else if (kind == 0 || kind == 43 || kind == 60) {
    bytes = (v.byte(1) + 1) * 8;
  } else {
    return {};
  }
  if (!v.has(bytes)) return {};
  return bytes;
}

void read_ipv6(View v, ParsedPacket& out) {
  if (!v.has(40) || v.byte(0) / 16 != 6) return;
  for (size_t i = 0; i < 16; ++i) {
    out.key.src_ip[i] = static_cast<uint8_t>(v.byte(8 + i));
    out.key.dst_ip[i] = static_cast<uint8_t>(v.byte(24 + i));
  }
  out.ip_length = static_cast<uint32_t>(v.begin() + 40 + v.number(4, 2));
  uint32_t next = v.byte(6);
  v = v.until(40 + v.number(4, 2)).from(40);
  for (int walked = 0; walked < 8; ++walked) {
    const auto bytes = header_bytes_of(next, v);
    if (!bytes || (next == 44 && out.fragment != Fragment::none)) break;
    if (next == 44) {
      const uint32_t offset = v.number(2, 2) / 8;
      if (offset > 0 || v.byte(3) % 2 != 0) {
        out.fragment = offset > 0 ? Fragment::later : Fragment::first;
        out.fragment_id = v.number(4, 4);
      }
    }
    next = v.byte(0);
    v = v.from(*bytes);
    if (out.fragment == Fragment::later) break;
  }
  out.key.protocol = static_cast<uint8_t>(next);
  if (out.fragment != Fragment::later) read_transport(v, true, out);
}

}  // namespace

ParsedPacket reference_parse(std::span<const uint8_t> frame, PortId port) {
  ParsedPacket out{};
  out.key.port = raw(port);
  View v(frame, 0, frame.size());
  if (!v.has(14)) return out;
  for (size_t i = 0; i < 6; ++i) {
    out.key.dst_mac[i] = static_cast<uint8_t>(v.byte(i));
    out.key.src_mac[i] = static_cast<uint8_t>(v.byte(6 + i));
  }
  uint32_t type = v.number(12, 2);
  v = v.from(14);
  for (int tags = 0; tags < 2; ++tags) {
    if ((type != 0x8100 && type != 0x88a8 && type != 0x9100) || !v.has(4)) break;
    const uint16_t id = static_cast<uint16_t>(v.number(0, 2) % 4096);
    (out.key.outer_vlan == 0 ? out.key.outer_vlan : out.key.inner_vlan) = id;
    type = v.number(2, 2);
    v = v.from(4);
  }
  out.key.ethertype = type < 0x600 ? 0 : static_cast<uint16_t>(type);
  if (type == 0x0800) read_ipv4(v, out);
  if (type == 0x86dd) read_ipv6(v, out);
  return out;
}

std::string difference(const ParsedPacket& a, const ParsedPacket& b) {
  const PacketKey &x = a.key, &y = b.key;
  if (std::memcmp(x.src_ip, y.src_ip, 16) != 0) return "src_ip";
  if (std::memcmp(x.dst_ip, y.dst_ip, 16) != 0) return "dst_ip";
  if (std::memcmp(x.src_mac, y.src_mac, 6) != 0) return "src_mac";
  if (std::memcmp(x.dst_mac, y.dst_mac, 6) != 0) return "dst_mac";
  if (x.outer_vlan != y.outer_vlan) return "outer_vlan";
  if (x.inner_vlan != y.inner_vlan) return "inner_vlan";
  if (x.src_port != y.src_port) return "src_port";
  if (x.dst_port != y.dst_port) return "dst_port";
  if (x.ethertype != y.ethertype) return "ethertype";
  if (x.protocol != y.protocol) return "protocol";
  if (!(x == y)) return "port or reserved";
  if (a.fragment != b.fragment) return "fragment";
  if (a.fragment_id != b.fragment_id) return "fragment_id";
  if (a.tcp_flags != b.tcp_flags) return "tcp_flags";
  if (a.ip_length != b.ip_length) return "ip_length";
  return "";
}

}  // namespace mayfly
