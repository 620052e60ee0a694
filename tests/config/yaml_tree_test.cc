#include "runtime/config/yaml_tree.h"

#include <gtest/gtest.h>

namespace mayfly {
namespace {

std::string error_of(const std::string& yaml) {
  return std::string(YamlTree::parse(yaml, "y").status().message());
}

TEST(YamlTree, KeepsTextAndLines) {
  const auto tree = YamlTree::parse("a: 1\nb:\n  - x\n  - {c: '007', d: ~}\n", "y");
  ASSERT_TRUE(tree.ok()) << tree.status();
  const YamlNode& root = tree->root();
  ASSERT_EQ(root.keys.size(), 2u);
  EXPECT_EQ(root.items[0]->text, "1");
  EXPECT_EQ(root.keys[1].line, 2u);
  const YamlNode& inner = *root.items[1]->items[1];
  EXPECT_EQ(inner.line, 4u);
  EXPECT_EQ(inner.items[0]->text, "007");
  EXPECT_EQ(inner.items[1]->kind, YamlKind::null);
}

TEST(YamlTree, EmptyTextsAreNull) {
  for (const char* yaml : {"", "\n\n", "# only a comment\n", "---\n"}) {
    const auto tree = YamlTree::parse(yaml, "y");
    ASSERT_TRUE(tree.ok()) << tree.status();
    EXPECT_EQ(tree->root().kind, YamlKind::null);
    EXPECT_GE(tree->root().line, 1u);
  }
}

TEST(YamlTree, BillionLaughs) {
  std::string yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 10; ++i) {
    const std::string below = "*a" + std::to_string(i - 1);
    yaml += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 10; ++k) yaml += (k ? ", " : "") + below;
    yaml += "]\n";
  }
  EXPECT_EQ(error_of(yaml), "y:7: more than 2000000 values, aliases expanded");
}

TEST(YamlTree, Bounds) {
  EXPECT_EQ(error_of(std::string(40, '[') + std::string(40, ']')),
            "y:1: nested deeper than 32 levels");
  EXPECT_FALSE(YamlTree::parse(std::string(100'000, '['), "y").ok());
  EXPECT_FALSE(YamlTree::parse(std::string(100'000, '{'), "y").ok());
  std::string deep;
  for (int i = 0; i < 40; ++i) deep += std::string(i, ' ') + "a:\n";
  EXPECT_EQ(error_of(deep), "y:33: nested deeper than 32 levels");
  std::string aliases = "a: &a x\nb: [";
  for (int i = 0; i <= 10'000; ++i) aliases += "*a,";
  EXPECT_EQ(error_of(aliases + "]"), "y:2: more than 10000 aliases");
  EXPECT_EQ(error_of(std::string((16u << 20) + 1, ' ')),
            "y:1: the file has 16777217 bytes; the limit is 16777216");
}

TEST(YamlTree, ControlCharacters) {
  EXPECT_EQ(error_of(std::string("a: 1\nb\0: 2\n", 11)),
            "y:2: control character 0x00; is this a text file?");
  EXPECT_EQ(error_of("a: 1\n\x04\nb: 2\n"), "y:2: control character 0x04; is this a text file?");
}

}  // namespace
}  // namespace mayfly
