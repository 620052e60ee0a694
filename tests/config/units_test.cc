#include <gtest/gtest.h>

#include "runtime/config/addresses.h"
#include "runtime/config/parse.h"

namespace mayfly {
namespace {

std::string error_text(const absl::Status& status) { return std::string(status.message()); }

TEST(Units, Durations) {
  const std::pair<const char*, int64_t> rows[] = {{"200us", 200'000},
                                                  {"30s", 30'000'000'000},
                                                  {"5ms", 5'000'000},
                                                  {"1m", 60'000'000'000},
                                                  {"2h", 7'200'000'000'000},
                                                  {"7ns", 7},
                                                  {"0s", 0},
                                                  {"1.5ms", 1'500'000},
                                                  {"0.1us", 100},
                                                  {"0.0000001s", 100},
                                                  {"off", INT64_MAX}};
  for (const auto& [text, ns] : rows) {
    const auto parsed = parse_duration(text);
    ASSERT_TRUE(parsed.ok()) << text << ": " << parsed.status();
    EXPECT_EQ(parsed->n, ns) << text;
  }
}

TEST(Units, DurationErrors) {
  const std::pair<const char*, const char*> rows[] = {
      {"200", "\"200\" has no unit; write for example 200us, 5ms or 30s"},
      {"200 us", "\"200 us\" has the unknown unit \" us\"; use ns, us, ms, s, m or h"},
      {"5sec", "\"5sec\" has the unknown unit \"sec\"; use ns, us, ms, s, m or h"},
      {"", "\"\" is not a number with a unit; write for example 200us, 5ms or 30s"},
      {"-5s", "\"-5s\" is not a number with a unit; write for example 200us, 5ms or 30s"},
      {"1e3s", "\"1e3s\" has the unknown unit \"e3s\"; use ns, us, ms, s, m or h"},
      {"nan", "\"nan\" is not a number with a unit; write for example 200us, 5ms or 30s"},
      {"1.s", "\"1.s\" has the unknown unit \".s\"; use ns, us, ms, s, m or h"},
      {"9999999999s", "\"9999999999s\" is too large; write for example 200us, 5ms or 30s"},
      {"99999999999999999999999999999999999999999999s",
       "\"99999999999999999999999999999999999999999999s\" is not a number with a unit; write for "
       "example 200us, 5ms or 30s"},
  };
  for (const auto& [text, message] : rows)
    EXPECT_EQ(error_text(parse_duration(text).status()), message);
}

TEST(Units, Sizes) {
  EXPECT_EQ(*parse_size("64KiB"), 65536u);
  EXPECT_EQ(*parse_size("2MiB"), 2u << 20);
  EXPECT_EQ(*parse_size("1GiB"), 1u << 30);
  EXPECT_EQ(*parse_size("1500B"), 1500u);
  EXPECT_EQ(*parse_size("0.5KiB"), 512u);
  EXPECT_EQ(error_text(parse_size("1500").status()),
            "\"1500\" has no unit; write for example 1500B, 64KiB or 2MiB");
  EXPECT_EQ(error_text(parse_size("64KB").status()),
            "\"64KB\" has the unknown unit \"KB\"; use B, KiB, MiB or GiB");
}

TEST(Units, Rates) {
  EXPECT_EQ(*parse_packet_rate("100pps"), 100);
  EXPECT_EQ(*parse_packet_rate("20kpps"), 20e3);
  EXPECT_EQ(*parse_packet_rate("1.5Mpps"), 1.5e6);
  EXPECT_EQ(*parse_packet_rate("0.5pps"), 0.5);
  EXPECT_EQ(*parse_packet_rate("max"), 0);
  EXPECT_EQ(error_text(parse_packet_rate("0pps").status()),
            "\"0pps\" is nothing; write at least 0.001pps, or max");
  EXPECT_EQ(error_text(parse_packet_rate("5").status()),
            "\"5\" has no unit; write for example 100pps, 20kpps, 1.5Mpps or max");
  EXPECT_EQ(*parse_bit_rate("800kbps"), 800'000u);
  EXPECT_EQ(*parse_bit_rate("10Gbps"), 10'000'000'000u);
  EXPECT_EQ(error_text(parse_bit_rate("10Gb").status()),
            "\"10Gb\" has the unknown unit \"Gb\"; use bps, kbps, Mbps or Gbps");
}

TEST(Addresses, TenantKeys) {
  const auto vlan = parse_tenant_key("101");
  ASSERT_TRUE(vlan.ok());
  EXPECT_EQ(vlan->kind, KeyKind::vlan);
  EXPECT_EQ(vlan->bytes[0], 0);
  EXPECT_EQ(vlan->bytes[1], 101);
  const auto qinq = parse_tenant_key("300.7");
  ASSERT_TRUE(qinq.ok());
  EXPECT_EQ(qinq->bytes[0], 1);
  EXPECT_EQ(qinq->bytes[1], 300 - 256);
  EXPECT_EQ(qinq->bytes[3], 7);
  const auto v4 = parse_tenant_key("10.0.0.5");
  ASSERT_TRUE(v4.ok());
  EXPECT_EQ(v4->kind, KeyKind::address);
  EXPECT_EQ(v4->bytes[10], 0xff);
  EXPECT_EQ(v4->bytes[12], 10);
  EXPECT_EQ(*v4, *parse_tenant_key("::ffff:10.0.0.5"));
  EXPECT_EQ(parse_tenant_key("2001:db8::5")->kind, KeyKind::address);
  const auto mac = parse_tenant_key("02:00:00:00:00:0A");
  ASSERT_TRUE(mac.ok());
  EXPECT_EQ(mac->kind, KeyKind::mac);
  EXPECT_EQ(mac->bytes[5], 10);
  for (const char* wrong : {"", "0", "4095", "100.0", "100.7.9", "10.0.0", "10.0.0.256", "x",
                            "02:00:00:00:00", "2001:db8:::5", "1 01", "02-00-00-00-00-01", "100."})
    EXPECT_FALSE(parse_tenant_key(wrong).ok()) << wrong;
}

TEST(Addresses, Prefixes) {
  const auto v4 = parse_prefix("10.0.0.0/8");
  ASSERT_TRUE(v4.ok());
  EXPECT_EQ(v4->bits, 104);
  EXPECT_EQ(v4->address[12], 10);
  EXPECT_EQ(parse_prefix("0.0.0.0/0")->bits, 96);
  EXPECT_EQ(parse_prefix("10.1.2.3")->bits, 128);
  EXPECT_EQ(parse_prefix("2001:db8::/32")->bits, 32);
  EXPECT_EQ(parse_prefix("::/0")->bits, 0);
  EXPECT_EQ(error_text(parse_prefix("10.1.0.0/8").status()),
            "\"10.1.0.0/8\" has bits set past its length; write 10.0.0.0/8");
  EXPECT_EQ(error_text(parse_prefix("2001:db8::1/32").status()),
            "\"2001:db8::1/32\" has bits set past its length; write 2001:db8::/32");
  EXPECT_EQ(error_text(parse_prefix("10.0.0.0/33").status()),
            "\"10.0.0.0/33\" has no prefix length from 0 to 32");
  EXPECT_FALSE(parse_prefix("10.0.0.0/").ok());
  EXPECT_FALSE(parse_prefix("lan").ok());
}

TEST(Units, TextsReadBackAsTheSameValue) {
  for (const char* text : {"200us", "1500ns", "5ms", "10s", "1us", "off", "0s"})
    EXPECT_EQ(duration_text(*parse_duration(text)), text);
  EXPECT_EQ(duration_text(*parse_duration("1m")), "60s");
  EXPECT_EQ(duration_text(*parse_duration("1.5ms")), "1500us");
  for (const char* text : {"max", "100pps", "1500000pps", "0.001pps", "3.250pps"})
    EXPECT_EQ(packet_rate_text(*parse_packet_rate(text)), text);
  EXPECT_EQ(packet_rate_text(*parse_packet_rate("1.5Mpps")), "1500000pps");
}

TEST(Units, AWakeMapAlone) {
  const WakeConfig from{.batch = 8, .adaptive = false, .aging = micros(200)};
  EXPECT_EQ(parse_wake_text("{batch: 32}", "r", from, 128)->batch, 32u);
  EXPECT_EQ(parse_wake_text("{batch: 32}", "r", from, 128)->aging, micros(200));
  EXPECT_TRUE(parse_wake_text("{\"batch\": \"adaptive\"}", "r", from, 128)->adaptive);
  EXPECT_EQ(parse_wake_text("{aging: off}", "r", from, 128)->aging, kNever);
  EXPECT_EQ(parse_wake_text("{batch: 112}", "r", from, 128).status().message(),
            "r:1: wake.batch: 112 is out of bounds; write an integer from 1 to 111");
  EXPECT_EQ(parse_wake_text("{aging: 5}", "r", from, 128).status().message(),
            "r:1: wake.aging: \"5\" has no unit; write for example 200us, 5ms or 30s");
  EXPECT_FALSE(parse_wake_text("{dispatch: poll}", "r", from, 128).ok());
  EXPECT_FALSE(parse_wake_text("[", "r", from, 128).ok());
}

}  // namespace
}  // namespace mayfly
