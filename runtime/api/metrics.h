// The Prometheus text format (version 0.0.4) of a stats object. Metric names carry units, as
// https://prometheus.io/docs/practices/naming asks.
#pragma once

#include <string>

#include "nlohmann/json_fwd.hpp"

namespace mayfly {

inline constexpr char kMetricsContentType[] = "text/plain; version=0.0.4; charset=utf-8";

// `stats` as GET /v1/stats, `tenants` as GET /v1/tenants. What is absent there is absent here.
std::string metrics_text(const nlohmann::json& stats, const nlohmann::json& tenants);

}  // namespace mayfly
