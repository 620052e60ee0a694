#include "runtime/config/yaml_tree.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <sstream>

#include "absl/container/flat_hash_map.h"

namespace mayfly {
namespace {

// Ends the parse from inside yaml-cpp's callbacks; never leaves this file.
struct Refusal {
  uint32_t line;
  std::string message;
};

uint32_t line_of(const YAML::Mark& mark) {
  return mark.is_null() ? 1 : static_cast<uint32_t>(mark.line) + 1;
}

class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::deque<YamlNode>& nodes) : nodes_(nodes) {}

  const YamlNode* root() const { return root_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (document_count_++ > 0)
      throw Refusal{line_of(mark), "a second document begins here; keep one document a file"};
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(make(YamlKind::null, mark, anchor), line_of(mark));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_tag(mark, tag);
    YamlNode* node = make(YamlKind::scalar, mark, anchor);
    node->text = value;
    add(node, node->line);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const uint32_t line = line_of(mark);
    if (++alias_count_ > kYamlAliasCountMax)
      throw Refusal{line, fmt::format("more than {} aliases", kYamlAliasCountMax)};
    const YamlNode* node = anchor < anchors_.size() ? anchors_[anchor] : nullptr;
    if (node == nullptr || node->open)
      throw Refusal{line, "an alias to something that is not complete yet"};
    add(node, line);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    refuse_tag(mark, tag);
    open(make(YamlKind::list, mark, anchor));
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    refuse_tag(mark, tag);
    open(make(YamlKind::map, mark, anchor));
  }
  void OnMapEnd() override {
    refuse_duplicates(*stack_.back());
    close();
  }

 private:
  static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    // "?": plain, "!": quoted, "": a collection without one.
    if (!tag.empty() && tag != "?" && tag != "!")
      throw Refusal{line_of(mark), fmt::format("the tag \"{}\" has no meaning here", tag)};
  }

  static void refuse_duplicates(const YamlNode& map) {
    absl::flat_hash_map<std::string, uint32_t> seen;
    seen.reserve(map.keys.size());
    for (const YamlKey& key : map.keys) {
      const auto [first, is_new] = seen.try_emplace(key.text, key.line);
      if (!is_new)
        throw Refusal{key.line, fmt::format("duplicate key \"{}\", first on line {}; keep one",
                                            key.text, first->second)};
    }
  }

  YamlNode* make(YamlKind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
    YamlNode& node = nodes_.emplace_back();
    node.kind = kind;
    node.line = line_of(mark);
    if (anchor != 0) {
      if (anchors_.size() <= anchor) anchors_.resize(anchor + 1, nullptr);
      anchors_[anchor] = &node;
    }
    return &node;
  }

  // Puts a complete or just opened node where the stream stands: root, list item, key or value.
  void add(const YamlNode* node, uint32_t line) {
    if (stack_.empty()) {
      root_ = node;
      return;
    }
    YamlNode& parent = *stack_.back();
    if (parent.kind == YamlKind::map && parent.keys.size() == parent.items.size()) {
      if (node->kind != YamlKind::scalar) throw Refusal{line, "a key must be a plain word"};
      parent.keys.push_back({node->text, line});
    } else {
      parent.items.push_back(node);
    }
    if (!node->open) weigh(parent, node->weight, line);
  }

  void open(YamlNode* node) {
    if (stack_.size() >= kYamlDepthMax)
      throw Refusal{node->line, fmt::format("nested deeper than {} levels", kYamlDepthMax)};
    node->open = true;
    add(node, node->line);
    stack_.push_back(node);
  }

  void close() {
    YamlNode* node = stack_.back();
    stack_.pop_back();
    node->open = false;
    if (!stack_.empty()) weigh(*stack_.back(), node->weight, node->line);
  }

  static void weigh(YamlNode& parent, uint32_t weight, uint32_t line) {
    parent.weight += weight;  // both at most kYamlNodesMax: no overflow
    if (parent.weight > kYamlNodesMax)
      throw Refusal{line, fmt::format("more than {} values, aliases expanded", kYamlNodesMax)};
  }

  std::deque<YamlNode>& nodes_;
  std::vector<YamlNode*> stack_;
  std::vector<YamlNode*> anchors_;
  const YamlNode* root_ = nullptr;
  size_t document_count_ = 0;
  size_t alias_count_ = 0;
};

// yaml-cpp takes byte 4 for the end of the file and lets others pass into names.
void refuse_control_characters(const std::string& text) {
  uint32_t line = 1;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') ++line;
    if ((byte < 0x20 && c != '\n' && c != '\r' && c != '\t') || byte == 0x7f)
      throw Refusal{line, fmt::format("control character {:#04x}; is this a text file?", byte)};
  }
}

}  // namespace

absl::StatusOr<YamlTree> YamlTree::parse(const std::string& text, const std::string& file_name) {
  const auto refuse = [&](uint32_t line, const std::string& message) {
    return absl::InvalidArgumentError(fmt::format("{}:{}: {}", file_name, line, message));
  };
  if (text.size() > kYamlBytesMax)
    return refuse(
        1, fmt::format("the file has {} bytes; the limit is {}", text.size(), kYamlBytesMax));
  YamlTree tree;
  tree.nodes_ = std::make_unique<std::deque<YamlNode>>();
  TreeBuilder builder(*tree.nodes_);
  try {
    refuse_control_characters(text);
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Refusal& refusal) {
    return refuse(refusal.line, refusal.message);
  } catch (const YAML::Exception& e) {
    return refuse(line_of(e.mark), "not valid YAML: " + e.msg);
  } catch (const std::exception& e) {
    return refuse(1, std::string("not valid YAML: ") + e.what());
  }
  tree.root_ = builder.root() ? builder.root() : &tree.nodes_->emplace_back();
  if (tree.root_->line == 0) tree.nodes_->back().line = 1;
  return tree;
}

}  // namespace mayfly
