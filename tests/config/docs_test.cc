// docs/config.md names what the program knows: every key that the parser lists when it meets a
// wrong one, and every reason to drop a packet.
#include <sstream>

#include "runtime/arena/ledger.h"
#include "tests/config/env.h"

namespace mayfly {
namespace {

class Docs : public ConfigEnv {
 protected:
  Docs() {
    std::ifstream in(MAYFLY_DOCS "/config.md");
    std::stringstream text;
    text << in.rdbuf();
    page_ = text.str();
  }
  bool mentions(const std::string& word) const {
    return page_.find("`" + word + "`") != std::string::npos ||
           page_.find("`" + word + ".") != std::string::npos ||
           page_.find("." + word + "`") != std::string::npos ||
           page_.find("{ " + word + ":") != std::string::npos ||
           page_.find(", " + word + ":") != std::string::npos;
  }
  std::string page_;
};

// "...; known are a, b and c" -> {"a", "b", "c"}
std::vector<std::string> known_in(std::string error) {
  const std::string before = "known are ";
  const size_t at = error.find(before);
  if (at == std::string::npos) return {};
  error = error.substr(at + before.size());
  if (const size_t last = error.find(" and "); last != std::string::npos)
    error.replace(last, 5, ", ");
  std::vector<std::string> words;
  for (size_t begin = 0; begin < error.size();) {
    const size_t end = std::min(error.find(", ", begin), error.size());
    words.push_back(error.substr(begin, end - begin));
    begin = end + 2;
  }
  return words;
}

TEST_F(Docs, EveryKey) {
  const std::string sections[] = {
      kMinimal + "xyzzyplugh: 1\n",
      kMinimal + "cores: {xyzzyplugh: 1}\n",
      kMinimal + "memory: {xyzzyplugh: 1}\n",
      kMinimal + "tenant: {xyzzyplugh: 1}\n",
      kMinimal + "wake: {xyzzyplugh: 1}\n",
      "ports: [{xyzzyplugh: 1}]\n" + kNfs + kChains + kFlows,
      "ports: [{name: a, gen: {xyzzyplugh: 1}}]\n" + kNfs + kChains + kFlows,
      "ports: [{name: a, pcap: {xyzzyplugh: 1}}]\n" + kNfs + kChains + kFlows,
      kPorts + "nfs: {t: {xyzzyplugh: 1}}\n" + kChains + kFlows,
      kPorts + "nfs: {t: {image: tiny, pool: {xyzzyplugh: 1}}}\n" + kChains + kFlows,
      kPorts + kNfs + "chains: {c: {xyzzyplugh: 1}}\n" + kFlows,
      kPorts + kNfs + kChains + "flows: [{xyzzyplugh: 1}]\n",
      kPorts + kNfs + kChains + "flows: [{chain: c, match: {xyzzyplugh: 1}}]\n",
  };
  for (const std::string& yaml : sections) {
    const std::vector<std::string> words = known_in(error_of(yaml));
    EXPECT_FALSE(words.empty()) << error_of(yaml);
    for (const std::string& word : words) EXPECT_TRUE(mentions(word)) << word << " of " << yaml;
  }
}

TEST_F(Docs, EveryDropReason) {
  for (size_t i = 0; i < kDropCount; ++i) {
    const std::string name(drop_name(static_cast<Drop>(i)));
    EXPECT_NE(page_.find("| `" + name + "` |"), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace mayfly
