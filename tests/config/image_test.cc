// mayfly-image from the caller's side: answers, and images that fail.
#include "runtime/config/image.h"

#include "nlohmann/json.hpp"
#include "runtime/config/image_process.h"
#include "tests/config/env.h"

namespace mayfly {
namespace {

class Images : public ConfigEnv {
 protected:
  static std::string path(const std::string& name) {
    return std::string(MAYFLY_TEST_IMAGES) + "/" + name + ".so";
  }
};

TEST_F(Images, Describe) {
  const auto info = describe_image(path("tiny"));
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->name, "tiny");
  EXPECT_EQ(info->summary, "every type of argument");
  EXPECT_EQ(info->tick_period_ns, 1'000'000u);
  EXPECT_EQ(info->blank_buffers, 4u);
  ASSERT_EQ(info->args.size(), 7u);
  EXPECT_EQ(info->args[3].type, ArgType::rate);
  EXPECT_EQ(info->args[3].fallback, "1Mpps");
  EXPECT_EQ(info->args[3].max, 10'000'000'000u);
  EXPECT_FALSE(describe_image(path("needs"))->args[0].fallback);
}

TEST_F(Images, CompileAnswersInOrder) {
  const auto entry = [](uint64_t threshold) {
    return std::vector<ArgValue>{{"threshold", true, threshold, "", ""},
                                 {"rules", false, 0, std::string("\0\xff", 2), ""}};
  };
  const auto result = compile_args(path("tiny"), {entry(1), entry(2), entry(3)});
  ASSERT_TRUE(result.ok()) << result.status();
  const auto& blobs = std::get<0>(*result);
  ASSERT_EQ(blobs.size(), 3u);
  EXPECT_EQ(blobs[2][0], 3);
  EXPECT_EQ(blobs[2].back(), 0xff);
}

TEST_F(Images, TheFirstCompileErrorIsReturned) {
  const std::vector<ArgValue> good{{"label", false, 0, "fine", ""}};
  const std::vector<ArgValue> bad{{"label", false, 0, "wrong", ""}};
  const auto result = compile_args(path("tiny"), {good, bad, bad});
  ASSERT_TRUE(result.ok()) << result.status();
  const auto& error = std::get<CompileError>(*result);
  EXPECT_EQ(error.entry, 1u);
  EXPECT_EQ(error.error.arg, "label");
  EXPECT_EQ(error.error.message, "wrong is not a label");
}

TEST_F(Images, AHangingImageIsKilled) {
  const std::vector<uint8_t> input =
      nlohmann::json::to_cbor(nlohmann::json::array({{{"args", nlohmann::json::object()}}}));
  const auto end =
      run_image_tool({"compile", path("broken_by_hanging")},
                     {reinterpret_cast<const char*>(input.data()), input.size()}, millis(300));
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_TRUE(end->timed_out);
  EXPECT_EQ(end->signal, SIGKILL);
}

TEST_F(Images, CreateIsTriedBeforeAnythingStarts) {
  const auto config_with = [this](const std::string& image) {
    return *parse(kPorts + "nfs: {t: {image: " + image + "}}\n" + kChains + kFlows);
  };
  EXPECT_TRUE(check_create(config_with("tiny")).ok());
  EXPECT_EQ(check_create(config_with("broken_in_create")).message(),
            "t.yaml:2: t: image " + path("broken_in_create") + ": crashed in create(): signal 11");
  EXPECT_EQ(check_create(config_with("broken_by_null")).message(),
            "t.yaml:2: t: image " + path("broken_by_null") + ": create() returned nothing");
}

TEST_F(Images, FoundByNameOrPath) {
  EXPECT_EQ(*find_image("tiny", "/somewhere"), path("tiny"));
  EXPECT_EQ(*find_image(path("tiny"), "/somewhere"), path("tiny"));
  file("mine.so", "");
  EXPECT_EQ(*find_image("./mine.so", dir_), dir_ + "/./mine.so");
  setenv("MAYFLY_NF_PATH", (":/nowhere:" + dir_ + "::" + MAYFLY_TEST_IMAGES).c_str(), 1);
  EXPECT_EQ(*find_image("mine", ""), dir_ + "/mine.so") << "earlier directories first";
  EXPECT_EQ(*find_image("tiny", ""), path("tiny"));
  setenv("MAYFLY_NF_PATH", "", 1);
  const auto shipped = find_image("firewall", "");
  ASSERT_TRUE(shipped.ok()) << shipped.status();
  EXPECT_TRUE(shipped->ends_with("/lib/mayfly/nfs/firewall.so"));
}

}  // namespace
}  // namespace mayfly
