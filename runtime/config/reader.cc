#include "runtime/config/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "runtime/base/limits.h"

namespace mayfly {
namespace {

std::string_view describe(YamlKind kind) {
  switch (kind) {
    case YamlKind::null:
      return "empty";
    case YamlKind::scalar:
      return "a single value";
    case YamlKind::list:
      return "a list";
    case YamlKind::map:
      return "a map";
  }
  return "something else";
}

// At most 60 bytes of what the user wrote, on one line.
std::string shown(std::string_view text) {
  std::string s(text.substr(0, 60));
  for (char& c : s)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  return text.size() > 60 ? s + "..." : s;
}

std::string plain(Nanos t) {
  if (t.n % 1'000'000'000 == 0) return fmt::format("{}s", t.n / 1'000'000'000);
  if (t.n % 1'000'000 == 0) return fmt::format("{}ms", t.n / 1'000'000);
  if (t.n % 1'000 == 0) return fmt::format("{}us", t.n / 1'000);
  return fmt::format("{}ns", t.n);
}

std::string plain_size(uint64_t bytes) {
  if (bytes >= (1u << 30) && bytes % (1u << 30) == 0) return fmt::format("{}GiB", bytes >> 30);
  if (bytes >= (1u << 20) && bytes % (1u << 20) == 0) return fmt::format("{}MiB", bytes >> 20);
  if (bytes >= (1u << 10) && bytes % (1u << 10) == 0) return fmt::format("{}KiB", bytes >> 10);
  return fmt::format("{}B", bytes);
}

// Edit distance with transpositions (optimal string alignment), for short words.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min(
          {d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

std::string joined(const std::vector<std::string_view>& names, std::string_view last) {
  std::string s;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) s += i + 1 == names.size() ? fmt::format(" {} ", last) : ", ";
    s += names[i];
  }
  return s;
}

}  // namespace

void Source::error(uint32_t line, std::string_view message) const {
  if (ok()) errors->report(fmt::format("{}:{}: {}", file, line, message));
}

void Value::error_at(uint32_t line, std::string_view message) const {
  source_->error(line, fmt::format("{}{}{}", label_, label_.empty() ? "" : ": ", message));
}

std::string Value::spell_names(const std::vector<std::string_view>& names) {
  return joined(names, "or");
}

std::string Value::unknown(std::string_view given, std::string_view words) {
  return fmt::format("\"{}\" is not known here; use {}", shown(given), words);
}

std::string Value::text(std::string_view expected) const {
  if (is(YamlKind::scalar)) return node_->text;
  if (node_ != nullptr)
    error(fmt::format("this is {}; expected {}", describe(node_->kind), expected));
  return {};
}

std::string Value::name() const {
  std::string given = text("a name");
  if (source_->ok() && !is_name(given))
    error(fmt::format("\"{}\" is not a name; {}", shown(given), kNameRule));
  return given;
}

uint64_t Value::integer(uint64_t min, uint64_t max) const {
  const std::string range = max == UINT64_MAX ? fmt::format("of {} or more", min)
                                              : fmt::format("from {} to {}", min, max);
  const std::string given = text("an integer " + range);
  if (!source_->ok()) return min;
  uint64_t n = 0;
  const auto [end, error_code] = std::from_chars(given.data(), given.data() + given.size(), n);
  const bool whole = end == given.data() + given.size() && !given.empty();
  if (!whole || error_code == std::errc::invalid_argument) {
    error(fmt::format("\"{}\" is not an integer; write one {}", shown(given), range));
    return min;
  }
  if (error_code != std::errc{} || n < min || n > max) {
    error(fmt::format("{} is out of bounds; write an integer {}", shown(given), range));
    return min;
  }
  return n;
}

double Value::number(double min, double max) const {
  const std::string range = fmt::format("from {} to {}", min, max);
  const std::string given = text("a number " + range);
  if (!source_->ok()) return min;
  double n = 0;
  const auto [end, error_code] = std::from_chars(given.data(), given.data() + given.size(), n,
                                                 std::chars_format::fixed);
  if (error_code != std::errc{} || end != given.data() + given.size()) {
    error(fmt::format("\"{}\" is not a number; write one {}", shown(given), range));
    return min;
  }
  if (!(n >= min && n <= max)) {
    error(fmt::format("{} is out of bounds; write a number {}", shown(given), range));
    return min;
  }
  return n;
}

bool Value::boolean() const {
  static constexpr Word<bool> kWords[] = {{"true", true}, {"false", false}};
  return word(kWords);
}

Nanos Value::duration(Nanos min, Nanos max, bool may_be_off) const {
  const std::string given = text("a duration, for example 200us or 30s");
  if (!source_->ok()) return min;
  const auto parsed = parse_duration(given);
  if (!parsed.ok()) return error(std::string(parsed.status().message())), min;
  if (*parsed == kNever) {
    if (!may_be_off) error("\"off\" is not possible here; write a duration, for example 30s");
    return kNever;
  }
  if (*parsed < min || *parsed > max)
    error(fmt::format("{} is out of bounds; write a duration from {} to {}", given, plain(min),
                      plain(max)));
  return *parsed;
}

uint64_t Value::size(uint64_t min, uint64_t max) const {
  const std::string given = text("a size, for example 64KiB");
  if (!source_->ok()) return min;
  const auto parsed = parse_size(given);
  if (!parsed.ok()) return error(std::string(parsed.status().message())), min;
  if (*parsed < min || *parsed > max)
    error(fmt::format("{} is out of bounds; write a size from {} to {}", given, plain_size(min),
                      plain_size(max)));
  return *parsed;
}

double Value::packet_rate() const {
  const std::string given = text("a rate, for example 1Mpps");
  if (!source_->ok()) return 1;
  const auto parsed = parse_packet_rate(given);
  if (!parsed.ok()) return error(std::string(parsed.status().message())), 1;
  return *parsed;
}

std::vector<Value> Value::list(std::string_view item_label, size_t min, size_t max) const {
  std::vector<Value> items;
  if (node_ == nullptr) return items;
  if (node_->kind != YamlKind::list) {
    error(fmt::format("this is {}; expected a list", describe(node_->kind)));
    return items;
  }
  if (node_->items.size() < min || node_->items.size() > max) {
    error(fmt::format("the list has {} entries; write {} to {}", node_->items.size(), min, max));
    return items;
  }
  for (const YamlNode* item : node_->items)
    items.emplace_back(*source_, item, item->line, std::string(item_label));
  return items;
}

Map::Map(const Value& value, std::vector<std::string_view> known) : value_(value) {
  if (!value) return;
  if (!value.is(YamlKind::map)) {
    value.error(fmt::format("this is {}; expected a map{}{}", describe(value.node()->kind),
                            known.empty() ? "" : " with ", joined(known, "and")));
    return;
  }
  for (const YamlKey& key : value.node()->keys) {
    if (std::find(known.begin(), known.end(), key.text) != known.end()) continue;
    value.error_at(key.line,
                   fmt::format("unknown key \"{}\"{}", shown(key.text), suggest(key.text, known)));
  }
}

Value Map::operator[](std::string_view key) const {
  const std::string& label = value_.label();
  std::string full = label.empty() ? std::string(key) : fmt::format("{}.{}", label, key);
  if (value_.is(YamlKind::map)) {
    const YamlNode& node = *value_.node();
    for (size_t i = 0; i < node.keys.size(); ++i)
      if (node.keys[i].text == key)
        return {value_.source(), node.items[i], node.keys[i].line, std::move(full)};
  }
  return {value_.source(), nullptr, value_.line(), std::move(full)};
}

Value Map::required(std::string_view key, std::string_view example) const {
  Value v = (*this)[key];
  if (!v)
    value_.error(fmt::format("\"{}\" is missing; write for example {}: {}", key, key, example));
  return v;
}

std::vector<Named> named_entries(const Value& value, size_t count_max) {
  std::vector<Named> entries;
  if (!value) return entries;
  if (!value.is(YamlKind::map)) {
    value.error(fmt::format("this is {}; expected a map of names", describe(value.node()->kind)));
    return entries;
  }
  const YamlNode& node = *value.node();
  if (node.keys.size() > count_max) {
    value.error(fmt::format("{} entries; at most {} are possible", node.keys.size(), count_max));
    return entries;
  }
  entries.reserve(node.keys.size());
  for (size_t i = 0; i < node.keys.size(); ++i) {
    const YamlKey& key = node.keys[i];
    if (!is_name(key.text))
      value.error_at(key.line, fmt::format("\"{}\" is not a name; {}", shown(key.text), kNameRule));
    entries.push_back({key.text, Value(value.source(), node.items[i], key.line, key.text)});
  }
  return entries;
}

bool is_name(std::string_view text) {
  const auto alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  if (text.empty() || text.size() > kTenantNameBytesMax || !alphanumeric(text[0])) return false;
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return alphanumeric(c) || c == '-' || c == '.' || c == ':'; });
}

std::string suggest(std::string_view given, const std::vector<std::string_view>& known) {
  if (known.empty()) return "; there are none";
  const std::string_view* nearest = nullptr;
  size_t best = given.size() > 64 ? 0 : std::max<size_t>(1, given.size() / 3) + 1;
  for (const std::string_view& name : known) {
    if (given.size() > 64 || name.size() > 64) continue;
    const size_t d = distance(given, name);
    if (d < best) best = d, nearest = &name;
  }
  if (nearest != nullptr) return fmt::format("; did you mean \"{}\"?", *nearest);
  if (known.size() > 24) return fmt::format("; there are {} others", known.size());
  return fmt::format("; known are {}", joined(known, "and"));
}

}  // namespace mayfly
