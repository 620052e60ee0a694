// Numbers with units. All arithmetic is on integers, so that "0.1us" is 100 ns and nothing wraps.
#include <fmt/format.h>

#include <span>

#include "runtime/config/parse.h"

namespace mayfly {
namespace {

using Wide = unsigned __int128;

struct Unit {
  std::string_view name;
  uint64_t factor;
};

constexpr Unit kDurationUnits[] = {{"ns", 1},
                                   {"us", 1'000},
                                   {"ms", 1'000'000},
                                   {"s", 1'000'000'000},
                                   {"m", 60'000'000'000},
                                   {"h", 3'600'000'000'000}};
constexpr Unit kSizeUnits[] = {{"B", 1}, {"KiB", 1u << 10}, {"MiB", 1u << 20}, {"GiB", 1u << 30}};
// In thousandths of a packet per second: a slow source may send less than one.
constexpr Unit kPacketRateUnits[] = {
    {"pps", 1'000}, {"kpps", 1'000'000}, {"Mpps", 1'000'000'000}, {"Gpps", 1'000'000'000'000}};
constexpr Unit kBitRateUnits[] = {
    {"bps", 1}, {"kbps", 1'000}, {"Mbps", 1'000'000}, {"Gbps", 1'000'000'000}};

std::string unit_names(std::span<const Unit> units) {
  std::string names;
  for (size_t i = 0; i < units.size(); ++i) {
    if (i > 0) names += i + 1 == units.size() ? " or " : ", ";
    names += units[i].name;
  }
  return names;
}

struct Quantity {
  Wide thousandths_of_billionth = 0;  // the number times 10^12
  std::string_view unit;
};

// DIGITS [. DIGITS] UNIT, no sign, no exponent, no blanks.
absl::StatusOr<Quantity> split(std::string_view text) {
  constexpr int kFractionDigits = 12;
  size_t i = 0;
  Wide number = 0;
  int whole_digits = 0;
  for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i, ++whole_digits)
    number = number * 10 + static_cast<unsigned>(text[i] - '0');
  int fraction_digits = 0;
  if (i + 1 < text.size() && text[i] == '.' && text[i + 1] >= '0' && text[i + 1] <= '9') {
    for (++i; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i, ++fraction_digits)
      if (fraction_digits < kFractionDigits)
        number = number * 10 + static_cast<unsigned>(text[i] - '0');
  }
  if (whole_digits == 0 || whole_digits > 18 || fraction_digits > kFractionDigits)
    return absl::InvalidArgumentError("is not a number with a unit");
  for (int k = fraction_digits; k < kFractionDigits; ++k) number *= 10;
  return Quantity{number, text.substr(i)};
}

absl::StatusOr<uint64_t> parse_quantity(std::string_view text, std::span<const Unit> units,
                                        std::string_view example) {
  const auto refuse = [&](std::string_view what) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" {}; write for example {}", text, what, example));
  };
  const absl::StatusOr<Quantity> quantity = split(text);
  if (!quantity.ok()) return refuse("is not a number with a unit");
  if (quantity->unit.empty()) return refuse("has no unit");
  for (const Unit& unit : units) {
    if (unit.name != quantity->unit) continue;
    constexpr Wide kScale = 1'000'000'000'000;
    // 10^30 * 3.6 * 10^12 would not fit: the whole part is bounded first.
    if (quantity->thousandths_of_billionth / kScale > UINT64_MAX / unit.factor)
      return refuse("is too large");
    const Wide whole = quantity->thousandths_of_billionth / kScale * unit.factor;
    const Wide fraction = quantity->thousandths_of_billionth % kScale * unit.factor / kScale;
    if (whole + fraction > INT64_MAX) return refuse("is too large");
    return static_cast<uint64_t>(whole + fraction);
  }
  return absl::InvalidArgumentError(fmt::format("\"{}\" has the unknown unit \"{}\"; use {}", text,
                                                quantity->unit, unit_names(units)));
}

}  // namespace

absl::StatusOr<Nanos> parse_duration(std::string_view text) {
  if (text == "off") return kNever;
  const auto ns = parse_quantity(text, kDurationUnits, "200us, 5ms or 30s");
  if (!ns.ok()) return ns.status();
  return Nanos{static_cast<int64_t>(*ns)};
}

absl::StatusOr<uint64_t> parse_size(std::string_view text) {
  return parse_quantity(text, kSizeUnits, "1500B, 64KiB or 2MiB");
}

absl::StatusOr<double> parse_packet_rate(std::string_view text) {
  if (text == "max") return 0.0;
  const auto thousandths = parse_quantity(text, kPacketRateUnits, "100pps, 20kpps, 1.5Mpps or max");
  if (!thousandths.ok()) return thousandths.status();
  if (*thousandths == 0)
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" is nothing; write at least 0.001pps, or max", text));
  return static_cast<double>(*thousandths) / 1000;
}

absl::StatusOr<uint64_t> parse_bit_rate(std::string_view text) {
  return parse_quantity(text, kBitRateUnits, "800kbps, 100Mbps or 10Gbps");
}

std::string duration_text(Nanos duration) {
  if (duration == kNever) return "off";
  const auto n = static_cast<uint64_t>(duration.n);
  const Unit* unit = &kDurationUnits[0];
  for (const Unit& u : kDurationUnits)
    if (u.factor <= 1'000'000'000 && n % u.factor == 0) unit = &u;
  return fmt::format("{}{}", n / unit->factor, unit->name);
}

std::string packet_rate_text(double pps) {
  if (pps <= 0) return "max";
  const auto thousandths = static_cast<uint64_t>(pps * 1000 + 0.5);
  if (thousandths % 1000 == 0) return fmt::format("{}pps", thousandths / 1000);
  return fmt::format("{}.{:03}pps", thousandths / 1000, thousandths % 1000);
}

}  // namespace mayfly
