#include "nfs/l3fwd_routes.h"

#include <algorithm>
#include <cstring>

#include "nfs/text.h"

namespace mayfly {
namespace {

inline constexpr size_t kConfigBytesMax = 64 * 1024;
inline constexpr size_t kRouteCountMax = 16 * 1024;  // more cannot fit; bounds the work to find out

template <class Address>
struct Route {
  Address first, last;  // of the prefix
  uint16_t hop;
  uint32_t line;
};

template <class Address>
struct Intervals {
  std::vector<Address> starts;
  std::vector<uint16_t> hops;

  void add(Address start, uint16_t hop) {
    if (!starts.empty() && starts.back() == start) {
      starts.pop_back(), hops.pop_back();
    }
    if (!hops.empty() && hops.back() == hop) return;
    starts.push_back(start), hops.push_back(hop);
  }
};

// Prefixes nest or are disjoint, so a stack of those that are open is all the sweep needs.
template <class Address>
Intervals<Address> cut(std::vector<Route<Address>>& routes) {
  std::sort(routes.begin(), routes.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : a.last > b.last;
  });
  Intervals<Address> out;
  std::vector<Route<Address>> open;
  out.add(0, 0);
  const auto close = [&] {
    const Route<Address> done = open.back();
    open.pop_back();
    if (done.last != static_cast<Address>(-1))
      out.add(done.last + 1, open.empty() ? 0 : open.back().hop);
  };
  for (const Route<Address>& route : routes) {
    while (!open.empty() && open.back().last < route.first) close();
    out.add(route.first, route.hop);
    open.push_back(route);
  }
  while (!open.empty()) close();
  return out;
}

template <class Address>
Address host_order(const uint8_t* bytes) {
  Address value = 0;
  for (size_t i = 0; i < sizeof(Address); ++i) value = value << 8 | bytes[i];
  return value;
}

template <class Address>
Route<Address> route_of(const Prefix& prefix, uint16_t hop, uint32_t line) {
  const auto mask = prefix.mask();
  const Address first = host_order<Address>(prefix.address.data());
  return {first, first | ~host_order<Address>(mask.data()), hop, line};
}

class RoutesReader {
 public:
  bool read(std::string_view text) {
    hops_.push_back(Hop{});  // no_route
    WordLines lines(text);
    while (lines.next()) {
      line_ = lines.number();
      const auto& words = lines.words();
      if (!(words[0] == "port" ? router_port(words) : route(words))) return false;
    }
    return no_twins(routes4_) && no_twins(routes6_) && give_source_macs();
  }

  bool write(uint64_t icmp_per_s, std::vector<std::byte>& blob) {
    const Intervals<uint32_t> cut4 = cut(routes4_);
    const Intervals<Uint128> cut6 = cut(routes6_);
    append_config(blob, RoutesConfig{.hop_count = static_cast<uint32_t>(hops_.size()),
                                     .port_count = static_cast<uint32_t>(ports_.size()),
                                     .interval6_count = static_cast<uint32_t>(cut6.starts.size()),
                                     .interval4_count = static_cast<uint32_t>(cut4.starts.size()),
                                     .icmp_per_s = icmp_per_s,
                                     .reserved = 0});
    append_all(blob, hops_), append_all(blob, ports_);
    append_all(blob, cut6.starts), append_all(blob, cut4.starts);
    append_all(blob, cut6.hops), append_all(blob, cut4.hops);
    if (blob.size() <= kConfigBytesMax) return true;
    return fail("too many routes: they need " + std::to_string(blob.size()) +
                " bytes, and 65536 is the most (about 12 bytes an IPv4 route, 36 an IPv6 route)");
  }

  ArgError error() const { return {"routes", line_, why_}; }

 private:
  template <class T>
  static void append_all(std::vector<std::byte>& blob, const std::vector<T>& values) {
    for (const T& value : values) append_config(blob, value);
  }

  bool fail(std::string why) {
    why_ = std::move(why);
    return false;
  }

  bool route(const std::vector<std::string_view>& words) {
    const std::optional<Prefix> prefix = parse_prefix(words[0], why_);
    if (!prefix) return false;
    Hop hop{};
    if (words.size() == 2 && words[1] == "unreachable") {
      hop.action = Hop::Action::unreachable;
    } else if (words.size() == 2 && words[1] == "blackhole") {
      hop.action = Hop::Action::blackhole;
    } else if (words.size() == 5 && words[1] == "via" && words[3] == "out") {
      if (!next_hop(words[2], words[4], hop)) return false;
    } else {
      return fail(quoted(words[0]) +
                  " must be followed by 'via MAC out PORT', 'via MAC out next', 'unreachable' or "
                  "'blackhole'");
    }
    if (routes4_.size() + routes6_.size() == kRouteCountMax)
      return fail("too many routes: at most 16384, and only what fits 64 KiB once compiled");
    const uint16_t index = hop_index(hop);
    if (prefix->ipv6) {
      routes6_.push_back(route_of<Uint128>(*prefix, index, line_));
    } else {
      routes4_.push_back(route_of<uint32_t>(*prefix, index, line_));
    }
    return true;
  }

  bool next_hop(std::string_view mac_word, std::string_view port_word, Hop& hop) {
    const std::optional<MacAddress> mac = parse_mac(mac_word);
    if (!mac)
      return fail(quoted(mac_word) + " is not a MAC address; write one like 02:00:00:00:00:01");
    std::memcpy(hop.mac, mac->data(), sizeof(hop.mac));
    hop.action = Hop::Action::forward_next;
    if (port_word == "next") return true;
    const auto port = parse_number(port_word, 249);
    if (!port)
      return fail("out " + quoted(port_word) +
                  ": write the port's number, counted from 0, or next");
    hop.action = Hop::Action::forward;
    hop.port = static_cast<uint8_t>(*port);
    return true;
  }

  // Equal hops are one. (At most 4,095 of 16 bytes fit, so the search is short enough.)
  uint16_t hop_index(const Hop& hop) {
    const auto at = std::find(hops_.begin(), hops_.end(), hop);
    if (at != hops_.end()) return static_cast<uint16_t>(at - hops_.begin());
    if (hops_.size() < 65535) hops_.push_back(hop);
    return static_cast<uint16_t>(hops_.size() - 1);
  }

  bool router_port(const std::vector<std::string_view>& words) {
    RouterPort port{};
    const auto number = words.size() > 1 ? parse_number(words[1], 249) : std::nullopt;
    if (!number || words.size() < 4 || words.size() % 2 != 0)
      return fail("write 'port N mac MAC [address A]...', with N counted from 0");
    port.port = static_cast<uint8_t>(*number);
    for (size_t i = 2; i < words.size(); i += 2)
      if (!port_detail(words[i], words[i + 1], port)) return false;
    for (const RouterPort& other : ports_)
      if (other.port == port.port) return fail("port " + std::to_string(*number) + " stands twice");
    ports_.push_back(port);
    return true;
  }

  bool port_detail(std::string_view name, std::string_view value, RouterPort& port) {
    if (name == "mac") {
      const std::optional<MacAddress> mac = parse_mac(value);
      if (!mac)
        return fail(quoted(value) + " is not a MAC address; write one like 02:00:00:00:00:01");
      port.has_mac = true;
      std::memcpy(port.mac, mac->data(), sizeof(port.mac));
      return true;
    }
    if (name != "address") return fail(quoted(name) + " is not known here; write mac or address");
    const std::optional<Prefix> prefix = parse_prefix(value, why_);
    if (!prefix) return false;
    if (prefix->length != prefix->length_max())
      return fail(quoted(value) + " is a prefix; write the router's own address");
    (prefix->ipv6 ? port.has6 : port.has4) = true;
    std::memcpy(prefix->ipv6 ? port.address6 : port.address4, prefix->address.data(),
                prefix->ipv6 ? sizeof(port.address6) : sizeof(port.address4));
    return true;
  }

  template <class Address>
  bool no_twins(std::vector<Route<Address>> routes) {
    std::stable_sort(routes.begin(), routes.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first < b.first : a.last > b.last;
    });
    for (size_t i = 1; i < routes.size(); ++i) {
      if (routes[i].first != routes[i - 1].first || routes[i].last != routes[i - 1].last) continue;
      line_ = routes[i].line;
      return fail("this prefix already stands on line " + std::to_string(routes[i - 1].line));
    }
    return true;
  }

  bool give_source_macs() {
    for (Hop& hop : hops_) {
      if (hop.action != Hop::Action::forward) continue;
      for (const RouterPort& port : ports_)
        if (port.port == hop.port && port.has_mac)
          std::memcpy(hop.source_mac, port.mac, sizeof(hop.source_mac));
    }
    line_ = 0;
    return true;
  }

  std::vector<Hop> hops_;
  std::vector<RouterPort> ports_;
  std::vector<Route<uint32_t>> routes4_;
  std::vector<Route<Uint128>> routes6_;
  uint32_t line_ = 0;
  std::string why_;
};

}  // namespace

RouteTable RouteTable::over(std::span<const std::byte> blob) {
  const auto* config = config_as<RoutesConfig>(blob);
  if (config == nullptr || config->hop_count == 0 || config->interval4_count == 0 ||
      config->interval6_count == 0)
    return {};
  const uint64_t need = sizeof(RoutesConfig) + uint64_t{config->hop_count} * sizeof(Hop) +
                        uint64_t{config->port_count} * sizeof(RouterPort) +
                        uint64_t{config->interval6_count} * (sizeof(Uint128) + 2) +
                        uint64_t{config->interval4_count} * (sizeof(uint32_t) + 2);
  if (need > blob.size()) return {};
  RouteTable table;
  table.config_ = config;
  table.hops_ = reinterpret_cast<const Hop*>(config + 1);
  table.ports_ = reinterpret_cast<const RouterPort*>(table.hops_ + config->hop_count);
  table.starts6_ = reinterpret_cast<const Uint128*>(table.ports_ + config->port_count);
  table.starts4_ = reinterpret_cast<const uint32_t*>(table.starts6_ + config->interval6_count);
  table.hops6_ = reinterpret_cast<const uint16_t*>(table.starts4_ + config->interval4_count);
  table.hops4_ = table.hops6_ + config->interval6_count;
  return table;
}

const RouterPort* RouteTable::router_port(uint8_t port) const {
  for (uint32_t i = 0; i < config_->port_count; ++i)
    if (ports_[i].port == port) return &ports_[i];
  return nullptr;
}

bool compile_routes(std::string_view text, uint64_t icmp_per_s, std::vector<std::byte>& blob,
                    ArgError& error) {
  RoutesReader reader;
  if (reader.read(text) && reader.write(icmp_per_s, blob)) return true;
  error = reader.error();
  return false;
}

}  // namespace mayfly
