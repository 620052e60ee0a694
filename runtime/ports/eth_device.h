// What Mayfly knows about DPDK's drivers beyond what they tell: how large a frame they really send,
// what they cut off without a word, which arguments they need. One row per driver in the .cc.
//
// Figures that are asserted by tests/ports with DPDK 22.11:
//   net_af_packet  sends what fits its ring's frame and the interface's MTU, frees the rest in
//                  silence; cuts received frames at the ring's frame size, in silence; its default
//                  frame does not fit a 2 KiB buffer with headroom; indexes frames as if blocks had
//                  no tail, so a frame's size must divide a block's.
//   net_tap        a frame above the MTU at the head stops its queue for ever.
//   net_pcap       writes a linear frame whole, cuts chained ones to 16,128 bytes (ours are
//                  linear); an interface refuses frames above its MTU, the same way as net_tap.
//   net_ring       its ring outlives it, with all that is in it.
//   net_memif      chains its own buffers both ways; zero-copy would need packets in DPDK's memory.
//                  A server cannot send before the client has polled. Closing a server frees what
//                  its listener, still registered, goes on using.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace mayfly {

struct EthDevice {
  std::string name;  // "net_af_packet0", "0000:03:00.0"
  std::string args;  // with what Mayfly adds
  bool pci = false;
  // Largest frame it sends whole; 0: ask the device for its MTU. An 802.1Q tag may come on top of
  // `untagged_bytes_max`.
  uint32_t untagged_bytes_max = 0;
  uint32_t frame_bytes_max = 0;
  // Frames this long or longer may have been cut on their way in (0: it never cuts).
  uint32_t suspect_bytes = 0;
  bool rx_jumbo = false;        // it must be given 64 KiB buffers
  bool rx_vlan_strip = false;   // ask for stripping: it strips anyway, and fails to undo it
  bool drain_on_close = false;  // it leaves what it holds to whoever opens it next
  bool leave_open = false;      // stopped at the end, but never closed
  uint16_t rx_descriptors = 512;
  std::string interface;  // of the kernel, where there is one

  std::string devargs() const { return args.empty() ? name : name + "," + args; }
};

bool is_pci_address(const std::string& dev);  // 0000:03:00.0 or 03:00.0, arguments may follow

// Takes a device string apart, checks what can be checked without the driver, and fills in what is
// known about it. The error says what is wrong and what to do.
absl::StatusOr<EthDevice> describe_device(const std::string& dev);

}  // namespace mayfly
