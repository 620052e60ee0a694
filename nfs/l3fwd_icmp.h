// ICMP and ICMPv6 errors as a router originates them: whether one may be sent, and its bytes.
//
// Never in answer to (RFC 1812 section 4.3.2.7, RFC 4443 section 2.4 e):
//   an ICMP error or redirect, or an ICMP message whose type cannot be seen
//   a packet to a multicast or broadcast address, or that came as a link-layer multicast
//   a fragment other than the first
//   a packet whose source is not one single host (0.0.0.0, ::, loopback, multicast, class E)
// How often is the caller's business (rate bound).
//
// The error goes back through the MAC the packet came from, with the tags it came with:
//
//   MACs swapped, tags, type | IP | ICMP type, code, 0 | the packet, from its IP header on, cut to
//                                                        576 (IPv4) or 1,280 (IPv6) bytes in all
#pragma once

#include <cstdint>

#include "nfs/headers.h"
#include "nfs/l3fwd_routes.h"
#include "nfs/nf.h"

namespace mayfly {

// Of RFC 792 and RFC 4443; the two families number them differently.
enum class IcmpError : uint8_t { time_exceeded, no_route, host_unreachable };

bool may_answer_with_error(const Packet& packet, const Headers& h);

// Originates the error and sends it out of the port the packet came in by. `self` gives the
// addresses to send from; null or without one of this family: 192.0.0.8 for IPv4 (RFC 7600), and
// no error at all for IPv6, which has no such address. False if nothing was sent.
bool send_icmp_error(Burst& burst, const Packet& cause, const Headers& h, IcmpError error,
                     const RouterPort* self);

}  // namespace mayfly
