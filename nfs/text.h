// What the argument files of NFs have in common: lines of words, addresses, MACs, numbers.
// For compile() only. Installed with the SDK.
//
// A line is words between spaces or tabs; `#` begins a comment; empty lines do not count.
#pragma once

#include <arpa/inet.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mayfly {

using MacAddress = std::array<uint8_t, 6>;

inline std::string quoted(std::string_view word) {
  std::string text(1, '\'');
  text.append(word).push_back('\'');
  return text;
}

class WordLines {
 public:
  explicit WordLines(std::string_view text) : rest_(text) {}

  // The next line that has words; false at the end.
  bool next() {
    words_.clear();
    while (words_.empty() && !rest_.empty()) {
      const size_t end = rest_.find('\n');
      split(rest_.substr(0, end));
      rest_.remove_prefix(end == rest_.npos ? rest_.size() : end + 1);
      ++number_;
    }
    return !words_.empty();
  }
  uint32_t number() const { return number_; }  // of the line, from 1
  const std::vector<std::string_view>& words() const { return words_; }

 private:
  void split(std::string_view line) {
    line = line.substr(0, line.find('#'));
    size_t at = 0;
    while ((at = line.find_first_not_of(" \t\r", at)) != line.npos) {
      const size_t end = std::min(line.find_first_of(" \t\r", at), line.size());
      words_.push_back(line.substr(at, end - at));
      at = end;
    }
  }

  std::string_view rest_;
  std::vector<std::string_view> words_;
  uint32_t number_ = 0;
};

inline std::optional<uint32_t> parse_number(std::string_view word, uint32_t max, int base = 10) {
  uint32_t value = 0;
  const char* end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, value, base);
  if (error != std::errc{} || stop != end || value > max) return std::nullopt;
  return value;
}

// 02:00:00:00:00:01
inline std::optional<MacAddress> parse_mac(std::string_view word) {
  MacAddress mac;
  if (word.size() != 17) return std::nullopt;
  for (size_t i = 0; i < 6; ++i) {
    if (i > 0 && word[i * 3 - 1] != ':') return std::nullopt;
    const std::optional<uint32_t> byte = parse_number(word.substr(i * 3, 2), 255, 16);
    if (!byte) return std::nullopt;
    mac[i] = static_cast<uint8_t>(*byte);
  }
  return mac;
}

// An address with the number of its leading bits that count. IPv4 uses the first four bytes.
struct Prefix {
  bool ipv6 = false;
  uint8_t length = 0;
  std::array<uint8_t, 16> address{};

  uint8_t length_max() const { return ipv6 ? 128 : 32; }
  std::array<uint8_t, 16> mask() const {
    std::array<uint8_t, 16> mask{};
    for (int bit = 0; bit < length; ++bit) mask[bit / 8] |= static_cast<uint8_t>(0x80 >> (bit % 8));
    return mask;
  }
};

// 10.0.0.0/8, 192.0.2.1, 2001:db8::/32. Else null, with the reason (and the remedy) in `why`.
inline std::optional<Prefix> parse_prefix(std::string_view word, std::string& why) {
  Prefix prefix;
  const size_t slash = word.find('/');
  const std::string address(word.substr(0, slash));
  prefix.ipv6 = address.find(':') != address.npos;
  if (inet_pton(prefix.ipv6 ? AF_INET6 : AF_INET, address.c_str(), prefix.address.data()) != 1) {
    why =
        quoted(word) + " is not an address; write one like 192.0.2.1, 10.0.0.0/8 or 2001:db8::/32";
    return std::nullopt;
  }
  prefix.length = prefix.length_max();
  if (slash != word.npos) {
    const auto length = parse_number(word.substr(slash + 1), prefix.length_max());
    if (!length) {
      why =
          quoted(word) + ": the prefix length must be 0 to " + std::to_string(prefix.length_max());
      return std::nullopt;
    }
    prefix.length = static_cast<uint8_t>(*length);
  }
  const auto mask = prefix.mask();
  auto network = prefix.address;
  for (size_t i = 0; i < network.size(); ++i) network[i] &= mask[i];
  if (network != prefix.address) {
    char text[INET6_ADDRSTRLEN];
    inet_ntop(prefix.ipv6 ? AF_INET6 : AF_INET, network.data(), text, sizeof(text));
    why = quoted(word) + " has bits set past its prefix length; write " + text + "/" +
          std::to_string(prefix.length);
    return std::nullopt;
  }
  return prefix;
}

}  // namespace mayfly
