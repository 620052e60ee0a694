#include "runtime/arena/ledger.h"

namespace mayfly {
namespace {

constexpr std::array<std::string_view, kDropCount> kNames = {
    "no_rule",          "no_tenant",    "flow_table_full", "pool_empty",  "backlog_full",
    "instance_backoff", "nf_ring_full", "tenant_limit",    "nf_drop",     "nf_died",
    "nf_violation",     "no_out_port",  "rx_truncated",    "rx_oversize", "rx_no_jumbo",
    "rx_no_buffer",     "tx_oversize",  "tx_full",         "shutdown",    "tx_runt",
};
static_assert(!kNames.back().empty(), "every reason has a name");

}  // namespace

std::string_view drop_name(Drop reason) {
  const auto i = static_cast<size_t>(reason);
  return i < kDropCount ? kNames[i] : "unknown";
}

}  // namespace mayfly
