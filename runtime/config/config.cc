// Config across processes. One list of fields serves both ways, so that neither can forget one.
#include "runtime/config/config.h"

#include <algorithm>
#include <concepts>
#include <stdexcept>
#include <utility>

#include "nlohmann/json.hpp"

namespace mayfly {
namespace {

using nlohmann::json;

template <class T, class U>
concept Is = std::same_as<std::remove_const_t<T>, U>;

void fields(auto& f, Is<GenConfig> auto& x) {
  f("flows", x.flows), f("mix", x.mix), f("size", x.size_bytes), f("rate", x.rate_pps);
  f("arrival", x.arrival), f("on", x.on), f("off", x.off), f("order", x.order);
  f("zipf", x.zipf), f("seed", x.seed), f("first_vlan", x.first_vlan);
}
void fields(auto& f, Is<PortConfig> auto& x) {
  f("name", x.name), f("dev", x.dev), f("gen", x.gen), f("pcap_in", x.pcap_in);
  f("pcap_out", x.pcap_out), f("line", x.line);
}
void fields(auto& f, Is<WakeConfig> auto& x) {
  f("batch", x.batch), f("adaptive", x.adaptive), f("aging", x.aging);
  f("weight", x.weight);
}
void fields(auto& f, Is<PoolConfig> auto& x) {
  f("idle", x.idle), f("max", x.max), f("empty", x.empty);
}
void fields(auto& f, Is<ArgValue> auto& x) {
  f("name", x.name), f("is_number", x.is_number), f("number", x.number), f("text", x.text);
  f("file", x.file);
}
void fields(auto& f, Is<NfConfig> auto& x) {
  f("name", x.name), f("image", x.image), f("image_path", x.image_path), f("pool", x.pool);
  f("wake", x.wake), f("args", x.args), f("blob", x.blob), f("tick", x.tick_period_ns);
  f("blanks", x.blank_buffers), f("line", x.line);
}
void fields(auto& f, Is<ChainConfig> auto& x) {
  f("name", x.name), f("nfs", x.nfs), f("wake", x.wake);
}
void fields(auto& f, Is<Range<uint16_t>> auto& x) { f("first", x.first), f("last", x.last); }
void fields(auto& f, Is<Prefix> auto& x) { f("address", x.address), f("bits", x.bits); }
void fields(auto& f, Is<InstanceKey> auto& x) { f("kind", x.kind), f("bytes", x.bytes); }
void fields(auto& f, Is<Match> auto& x) {
  f("port", x.port), f("vlan", x.vlan), f("inner_vlan", x.inner_vlan);
  f("ethertype", x.ethertype), f("src_ip", x.src_ip), f("dst_ip", x.dst_ip);
  f("protocol", x.protocol), f("src_port", x.src_port), f("dst_port", x.dst_port);
  f("src_mac", x.src_mac);
}
void fields(auto& f, Is<FlowConfig> auto& x) {
  f("match", x.match), f("instance_per", x.instance_per), f("tenant_by", x.tenant_by);
  f("chain", x.chain), f("out", x.out), f("idle", x.idle), f("linger", x.linger);
  f("tenants_only", x.tenants_only), f("line", x.line);
}
void fields(auto& f, Is<TenantNfArgs> auto& x) {
  f("nf", x.nf), f("args", x.args), f("blob", x.blob);
}
void fields(auto& f, Is<TenantConfig> auto& x) {
  f("name", x.name), f("key", x.key), f("chain", x.chain), f("weight", x.weight);
  f("nfs", x.nfs), f("line", x.line);
}
void fields(auto& f, Is<BatonConfig> auto& x) {
  f("budget", x.budget), f("idle", x.idle), f("slice", x.slice), f("eager", x.eager);
  f("order", x.order), f("balance", x.balance), f("restart_after", x.restart_after);
}
void fields(auto& f, Is<Config> auto& x) {
  f("file", x.file), f("name", x.name), f("vswitch_core", x.vswitch_core);
  f("vswitch_idle", x.vswitch_idle);
  f("nf_cores", x.nf_cores), f("packets", x.packets), f("jumbo", x.jumbo_packets);
  f("bind", x.bind_bytes), f("hugepages", x.hugepages), f("ring", x.ring_entries);
  f("flow_table", x.flow_count_max), f("tenant_packets", x.tenant_packets);
  f("dispatch", x.dispatch), f("downstream", x.downstream), f("wake", x.wake);
  f("baton", x.baton), f("ports", x.ports), f("nfs", x.nfs);
  f("chains", x.chains), f("flows", x.flows), f("tenants", x.tenants);
}

template <class T>
concept Number = std::is_arithmetic_v<T>;
template <class T>
concept Enum = std::is_enum_v<T>;

struct Writer {
  json out = json::object();
  void operator()(const char* name, const auto& x) { out[name] = encode(x); }

  static json encode(const Number auto& x) { return x; }
  static json encode(const Enum auto& x) {
    return static_cast<std::underlying_type_t<std::remove_cvref_t<decltype(x)>>>(x);
  }
  static json encode(const std::string& x) { return x; }
  static json encode(Nanos x) { return x.n; }
  static json encode(const std::vector<uint8_t>& x) { return json::binary(x); }
  template <size_t N>
  static json encode(const uint8_t (&x)[N]) {
    return json::binary({x, x + N});
  }
  template <class T>
  static json encode(const std::optional<T>& x) {
    return x ? encode(*x) : json();
  }
  template <class T>
  static json encode(const std::vector<T>& x) {
    json all = json::array();
    for (const T& item : x) all.push_back(encode(item));
    return all;
  }
  template <class T>
  requires std::is_class_v<T>
  static json encode(const T& x) {
    Writer w;
    fields(w, x);
    return std::move(w.out);
  }
};

// The other side is a process of ours; what can go wrong is a version that differs, and throws.
struct Reader {
  const json& in;
  void operator()(const char* name, auto& x) { decode(in.at(name), x); }

  template <Number T>
  static void decode(const json& j, T& x) {
    if constexpr (std::integral<T> && !std::same_as<T, bool>) {
      const bool fits = j.is_number_unsigned() ? std::in_range<T>(j.get<uint64_t>())
                                               : std::in_range<T>(j.get<int64_t>());
      if (!fits) throw std::range_error("a number out of range");
    }
    x = j.get<T>();
  }
  template <Enum T>
  static void decode(const json& j, T& x) {
    std::underlying_type_t<T> n;
    decode(j, n);
    x = static_cast<T>(n);
  }
  static void decode(const json& j, std::string& x) { x = j.get_ref<const std::string&>(); }
  static void decode(const json& j, Nanos& x) { decode(j, x.n); }
  static void decode(const json& j, std::vector<uint8_t>& x) {
    const json::binary_t& bytes = j.get_binary();
    x.assign(bytes.begin(), bytes.end());
  }
  template <size_t N>
  static void decode(const json& j, uint8_t (&x)[N]) {
    const json::binary_t& bytes = j.get_binary();
    if (bytes.size() != N) throw std::range_error("bytes of another length");
    std::copy(bytes.begin(), bytes.end(), x);
  }
  template <class T>
  static void decode(const json& j, std::optional<T>& x) {
    x.reset();
    if (!j.is_null()) decode(j, x.emplace());
  }
  template <class T>
  static void decode(const json& j, std::vector<T>& x) {
    x.clear();
    x.reserve(j.size());
    for (const json& item : j) decode(item, x.emplace_back());
  }
  template <class T>
  requires std::is_class_v<T>
  static void decode(const json& j, T& x) {
    Reader r{j};
    fields(r, x);
  }
};

}  // namespace

WakeSettings wake_settings_of(const Config& config) {
  WakeSettings settings;
  settings.all = config.wake;
  for (const ChainConfig& chain : config.chains) settings.chains.push_back(chain.wake);
  for (const NfConfig& nf : config.nfs) settings.nfs.push_back(nf.wake);
  return settings;
}

WakeConfig wake_of(const Config& config, const WakeSettings& settings, ChainId chain,
                   uint32_t position) {
  const NfId nf = config.chains[index(chain)].nfs[position];
  if (settings.nfs[index(nf)]) return *settings.nfs[index(nf)];
  return settings.chains[index(chain)].value_or(settings.all);
}

WakeConfig wake_of(const Config& config, ChainId chain, uint32_t position) {
  const ChainConfig& c = config.chains[index(chain)];
  const NfConfig& nf = config.nfs[index(c.nfs[position])];
  return nf.wake ? *nf.wake : c.wake.value_or(config.wake);
}

std::vector<uint8_t> to_cbor(const Config& config) { return json::to_cbor(Writer::encode(config)); }

absl::StatusOr<Config> from_cbor(const std::vector<uint8_t>& bytes) {
  try {
    Config config;
    Reader::decode(json::from_cbor(bytes), config);
    return config;
  } catch (const std::exception& e) {
    return absl::InvalidArgumentError(std::string("not a configuration of this version: ") +
                                      e.what());
  }
}

}  // namespace mayfly
