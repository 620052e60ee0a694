// A YAML document as a tree of text, with the line of every key and value.
//
// Why not yaml-cpp's own tree: it keeps duplicate keys silently, looks keys up in linear time
// through shared pointers, and expands nothing but forgets how much an alias stands for. This tree
// is built from yaml-cpp's event stream and refuses, with the line:
//
//   more than kYamlBytesMax bytes, control characters, more than one document
//   more than kYamlDepthMax levels
//   duplicate keys, keys that are not plain text
//   more than kYamlNodesMax nodes *after* the expansion of aliases ("billion laughs"), and aliases
//   to a node that is still open
//   tags (`!!binary`): every scalar is text, and the key it stands under says what it means
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace mayfly {

inline constexpr size_t kYamlBytesMax = 16u << 20;
inline constexpr size_t kYamlDepthMax = 32;
inline constexpr size_t kYamlNodesMax = 2'000'000;
inline constexpr size_t kYamlAliasCountMax = 10'000;

enum class YamlKind : uint8_t { null, scalar, list, map };

struct YamlKey {
  std::string text;
  uint32_t line = 0;
};

struct YamlNode {
  YamlKind kind = YamlKind::null;
  bool open = false;                   // its end has not been read yet
  uint32_t line = 0;                   // counted from 1
  uint32_t weight = 1;                 // nodes in it, aliases expanded
  std::string text;                    // scalar
  std::vector<YamlKey> keys;           // map: keys[i] -> items[i]
  std::vector<const YamlNode*> items;  // list and map
};

class YamlTree {
 public:
  // The error is "FILE:LINE: reason". An empty text is a null root.
  static absl::StatusOr<YamlTree> parse(const std::string& text, const std::string& file_name);

  const YamlNode& root() const { return *root_; }

 private:
  std::unique_ptr<std::deque<YamlNode>> nodes_;  // stable addresses
  const YamlNode* root_ = nullptr;
};

}  // namespace mayfly
