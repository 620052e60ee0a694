#include "runtime/ports/eth_device.h"

#include <linux/capability.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>

#include "fmt/format.h"
#include "runtime/arena/arena.h"
#include "spdlog/spdlog.h"

namespace mayfly {
namespace {

constexpr uint32_t kEtherBytes = 14;
constexpr uint32_t kTagBytes = 4;

// TPACKET2_HDRLEN less its sockaddr_ll: what net_af_packet takes off a ring frame for the header.
constexpr uint32_t kRingHeaderBytes = 32;
// The kernel puts a received frame 66 to 96 bytes into its ring frame, by link header and
// alignment.
constexpr uint32_t kRingRxOffsetMax = 98;

struct RingShape {
  uint32_t mtu_max, frame, block, frames;
};
// `frame` divides `block`, `block` is a multiple of the page; see the header.
constexpr RingShape kRingShapes[] = {
    {1800, 1920, 61440, 512}, {16000, 16384, 65536, 256}, {UINT32_MAX, 61440, 61440, 64}};

std::optional<std::string> argument(const std::string& args, std::string_view key) {
  std::string_view rest = args;
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find(','));
    if (item.size() > key.size() && item.substr(0, key.size()) == key && item[key.size()] == '=') {
      return std::string(item.substr(key.size() + 1));
    }
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
  }
  return std::nullopt;
}

std::optional<uint32_t> number(const std::optional<std::string>& text) {
  uint32_t n = 0;
  if (!text) return std::nullopt;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), n);
  if (error != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return n;
}

bool has_capability(int capability) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) != 0) return geteuid() == 0;
  return (data[capability / 32].effective >> (capability % 32)) & 1;
}

// One question about a kernel interface, through any socket.
template <class Ask>
bool ask_interface(const std::string& name, Ask&& ask) {
  ifreq request{};
  if (name.size() >= sizeof request.ifr_name) return false;
  std::memcpy(request.ifr_name, name.data(), name.size());
  const int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (s < 0) return false;
  const bool ok = ask(s, request);
  close(s);
  return ok;
}

void warn_if_merging(const std::string& interface) {
  const bool merging = ask_interface(interface, [](int s, ifreq& r) {
    ethtool_value value{ETHTOOL_GGRO, 0};
    r.ifr_data = reinterpret_cast<char*>(&value);
    return ioctl(s, SIOCETHTOOL, &r) == 0 && value.data != 0;
  });
  if (merging) {
    spdlog::warn(
        "interface {} merges received packets; what is too large then is dropped as "
        "rx_truncated: ethtool -K {} gro off lro off",
        interface, interface);
  }
}

// The interface that a device sits on: there, up, and its MTU.
absl::StatusOr<uint32_t> use_interface(EthDevice& device, const std::string& interface) {
  device.interface = interface;
  uint32_t mtu = 0;
  short flags = 0;
  const bool found = ask_interface(interface, [&](int s, ifreq& r) {
    if (ioctl(s, SIOCGIFMTU, &r) != 0) return false;
    mtu = static_cast<uint32_t>(r.ifr_mtu);
    if (ioctl(s, SIOCGIFFLAGS, &r) == 0) flags = r.ifr_flags;
    return true;
  });
  if (!found) {
    return absl::NotFoundError(fmt::format(
        "there is no interface {} here (in this network namespace); `ip link` lists them",
        interface));
  }
  if (!has_capability(CAP_NET_RAW)) {
    return absl::PermissionDeniedError(fmt::format(
        "opening interface {} needs root or CAP_NET_RAW; run as root, or use a gen, pcap or "
        "net_memif port",
        interface));
  }
  if ((flags & IFF_UP) == 0) {
    spdlog::warn("interface {} is down: ip link set {} up", interface, interface);
  }
  warn_if_merging(interface);
  device.untagged_bytes_max = mtu + kEtherBytes;
  device.frame_bytes_max = mtu + kEtherBytes + kTagBytes;
  return mtu;
}

absl::Status af_packet(EthDevice& device) {
  const auto interface = argument(device.args, "iface");
  if (!interface) {
    return absl::InvalidArgumentError("it needs the interface: net_af_packet0,iface=eth0");
  }
  const absl::StatusOr<uint32_t> mtu = use_interface(device, *interface);
  if (!mtu.ok()) return mtu.status();

  uint32_t frame = number(argument(device.args, "framesz")).value_or(0);
  if (frame == 0) {
    const RingShape* shape = kRingShapes;
    while (*mtu > shape->mtu_max) ++shape;
    frame = shape->frame;
    device.args +=
        fmt::format(",framesz={},blocksz={},framecnt={}", frame, shape->block, shape->frames);
  } else {
    const uint32_t block =
        number(argument(device.args, "blocksz")).value_or(static_cast<uint32_t>(getpagesize()));
    if (block % frame != 0 || frame <= kRingRxOffsetMax || frame % 16 != 0) {
      return absl::InvalidArgumentError(fmt::format(
          "framesz={} must be a multiple of 16 and divide blocksz={}; leave both out to have them "
          "chosen by the interface's MTU",
          frame, block));
    }
  }
  device.rx_jumbo = frame - kRingHeaderBytes > kSmallFrameBytesMax;
  if (frame - kRingHeaderBytes > kFrameBytesMax) {
    return absl::InvalidArgumentError(
        fmt::format("framesz={} is more than a packet buffer holds; at most 61440", frame));
  }
  device.suspect_bytes = frame - kRingRxOffsetMax;
  device.frame_bytes_max = std::min(device.frame_bytes_max, frame - kRingHeaderBytes);
  device.untagged_bytes_max = std::min(device.untagged_bytes_max, device.frame_bytes_max);
  device.rx_vlan_strip = true;
  return absl::OkStatus();
}

absl::Status tap(EthDevice& device) {
  if (access("/dev/net/tun", F_OK) != 0) {
    return absl::NotFoundError(
        "/dev/net/tun is not there; modprobe tun, or pass it into the "
        "container (--device /dev/net/tun)");
  }
  if (!has_capability(CAP_NET_ADMIN)) {
    return absl::PermissionDeniedError(
        "creating a tap needs root or CAP_NET_ADMIN; run as root, or use a gen, pcap or net_memif "
        "port");
  }
  device.interface = argument(device.args, "iface").value_or("");
  // A receive descriptor is a buffer of one scattered read: enough for the largest frame.
  device.rx_descriptors = kFrameBytesMax / kSmallFrameBytesMax + 2;
  return absl::OkStatus();
}

absl::Status any_frame(EthDevice& device) {
  device.untagged_bytes_max = device.frame_bytes_max = 65535;
  return absl::OkStatus();
}

absl::Status pcap(EthDevice& device) {
  for (const char* key : {"iface", "tx_iface", "rx_iface"}) {
    const auto interface = argument(device.args, key);
    if (!interface) continue;
    const absl::StatusOr<uint32_t> mtu = use_interface(device, *interface);
    if (!mtu.ok()) return mtu.status();
    device.suspect_bytes = 16128;
    return absl::OkStatus();
  }
  return any_frame(device);
}

absl::Status memif(EthDevice& device) {
  if (argument(device.args, "zero-copy").value_or("no") == "yes") {
    return absl::InvalidArgumentError(
        "zero-copy=yes needs packets in DPDK's own memory, Mayfly's are in the tenants'; leave it "
        "out");
  }
  device.leave_open = true;
  return any_frame(device);
}

absl::Status ring(EthDevice& device) {
  device.drain_on_close = true;
  return any_frame(device);
}

absl::Status not_ethernet(EthDevice&) {
  return absl::InvalidArgumentError("it carries IP packets without Ethernet; use net_tap");
}

absl::Status by_mtu(EthDevice&) { return absl::OkStatus(); }

struct Driver {
  std::string_view prefix;
  absl::Status (*describe)(EthDevice&);
};
constexpr Driver kDrivers[] = {
    {"net_af_packet", af_packet}, {"eth_af_packet", af_packet}, {"net_tap", tap},
    {"net_tun", not_ethernet},    {"net_pcap", pcap},           {"eth_pcap", pcap},
    {"net_memif", memif},         {"net_ring", ring},           {"eth_ring", ring},
    {"net_null", any_frame},      {"eth_null", any_frame},      {"", by_mtu},
};

}  // namespace

bool is_pci_address(const std::string& dev) {
  // [dddd:]bb:dd.f
  std::string_view name = std::string_view(dev).substr(0, dev.find(','));
  const size_t dot = name.rfind('.');
  const auto is_hex = [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; };
  if (dot == std::string_view::npos || dot + 2 != name.size() || !is_hex(name.back())) return false;
  name = name.substr(0, dot);
  const auto colons = std::count(name.begin(), name.end(), ':');
  return (colons == 1 || colons == 2) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return c == ':' || is_hex(c); });
}

absl::StatusOr<EthDevice> describe_device(const std::string& dev) {
  EthDevice device;
  const size_t comma = dev.find(',');
  device.name = dev.substr(0, comma);
  if (comma != std::string::npos) device.args = dev.substr(comma + 1);
  device.pci = is_pci_address(dev);
  for (const Driver& driver : kDrivers) {
    if (device.name.substr(0, driver.prefix.size()) != driver.prefix) continue;
    if (absl::Status s = driver.describe(device); !s.ok()) return s;
    break;
  }
  return device;
}

}  // namespace mayfly
