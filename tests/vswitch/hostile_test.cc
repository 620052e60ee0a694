// An NF that writes whatever it likes into what it shares with the vSwitch. Each lie costs it its
// instance, and nobody else a packet. (docs/design.md, D2)
#include "tests/vswitch/env.h"

namespace mayfly {
namespace {

class HostileTest : public VSwitchTest {
 protected:
  // One NF holding one packet, its neighbour holding one too; the NF has taken its own.
  void begin() {
    Config c = two_ports({"x"});
    c.nfs[0].blank_buffers = 1;
    start(c);
    give(0, 4);
    port(0).in.push_back(udp(1, 1000, 1));
    port(0).in.push_back(udp(2, 1000, 2));
    turn();
    for (SlotId s : bound(0))
      (vswitch_->key_of(vswitch_->instances()[index(s)].binding).bytes[15] == 1 ? bad_ : good_) = s;
    given_ = slot(bad_).in_entries()[1];
    blank_ = slot(bad_).in_entries()[0];
    ASSERT_EQ(given_.op(), static_cast<uint8_t>(ToNf::packet));
    ASSERT_EQ(blank_.op(), static_cast<uint8_t>(ToNf::blank));
    slot(bad_).from_nf.in_consumed.store(2);
  }
  void returns(std::vector<Descriptor> descriptors) {
    give_back(bad_, descriptors);
    turn();
  }
  void expect_condemned() {
    Attention attention;
    vswitch_->fetch_attention(attention);
    EXPECT_EQ(attention.condemned, std::vector<SlotId>{bad_});
    EXPECT_EQ(vswitch_->violations(), 1u);
    loops_[index(bad_)].reset();
    const DeathReport report{bad_, false};
    vswitch_->on_deaths({&report, 1}, now_);
    settle();
    // The neighbour's packet is fine, the liar's flow goes on with another instance.
    ASSERT_EQ(port(1).out.size(), 1u);
    EXPECT_EQ(number_of(port(1).out[0]), 2u);
    port(0).in.push_back(udp(1, 1000, 3));
    settle();
    EXPECT_EQ(port(1).out.size(), 2u);
    expect_balance();
  }

  SlotId bad_{}, good_{};
  Descriptor given_, blank_;
};

TEST_F(HostileTest, AnothersBuffer) {
  begin();
  returns({slot(good_).in_entries()[1].with(FromNf::next, 0, kHeadroomBytes, 64)});
  expect_condemned();
}

TEST_F(HostileTest, ABufferBeyondTheArena) {
  begin();
  returns({Descriptor::make(BufferId{0x3fffff}, 0, 128, 64, 0, 0)});
  expect_condemned();
}

TEST_F(HostileTest, AFreeBuffer) {
  begin();
  returns({Descriptor::make(BufferId{3}, 0, 128, 64, 0, 0)});
  expect_condemned();
}

TEST_F(HostileTest, AStaleGeneration) {
  begin();
  returns({Descriptor::make(given_.buffer(), given_.generation() + 1, 128, 64, 0, 0)});
  expect_condemned();
}

TEST_F(HostileTest, OffsetAndLengthOutOfTheBuffer) {
  begin();
  returns({given_.with(FromNf::next, 0, 1500, 1000)});
  expect_condemned();
}

TEST_F(HostileTest, APacketAsABlankAndABlankAsAPacket) {
  begin();
  returns({given_.with(FromNf::return_blank, 0, 128, 0)});
  expect_condemned();
}

TEST_F(HostileTest, ABlankAsAPacket) {
  begin();
  returns({blank_.with(FromNf::next, 0, 128, 64)});
  expect_condemned();
}

TEST_F(HostileTest, AServiceThatIsNotThere) {
  begin();
  returns({given_.with(FromNf::service, 1, 128, 64)});
  expect_condemned();
}

TEST_F(HostileTest, AProducerIndexAheadOfItself) {
  begin();
  slot(bad_).from_nf.out_produced.store(100'000);
  control_.doorbells().ring(bad_);
  turn();
  expect_condemned();
}

TEST_F(HostileTest, AProducerIndexThatGoesBack) {
  begin();
  slot(bad_).from_nf.out_produced.store(0xffffffff);
  control_.doorbells().ring(bad_);
  turn();
  expect_condemned();
}

TEST_F(HostileTest, TheSameBufferTwice) {
  begin();
  const Descriptor d = given_.with(FromNf::next, 0, kHeadroomBytes, 64);
  returns({d, d});
  Attention attention;
  vswitch_->fetch_attention(attention);
  EXPECT_EQ(attention.condemned, std::vector<SlotId>{bad_});
  EXPECT_EQ(port(1).out.size(), 1u);  // the first was right
  expect_balance();
}

TEST_F(HostileTest, EveryBellRungByAnyone) {
  begin();
  for (uint32_t s = 0; s < control_.header().slot_count; ++s) control_.doorbells().ring(SlotId{s});
  run_nf(good_);
  settle();
  EXPECT_EQ(vswitch_->violations(), 0u);
  EXPECT_EQ(port(1).out.size(), 1u);
}

TEST_F(HostileTest, AskingForMoreBlanksThanItMayHold) {
  begin();
  std::vector<Descriptor> asks(
      50, Descriptor::make(BufferId{0}, 0, 0, 0, static_cast<uint8_t>(FromNf::ask_blanks), 255));
  returns(asks);
  EXPECT_EQ(vswitch_->instances()[index(bad_)].loaned, 1u);
  EXPECT_EQ(vswitch_->violations(), 0u);
}

TEST_F(HostileTest, ItsOwnLinesAndTheSwitchsScribbledOver) {
  begin();
  std::memset(static_cast<void*>(&slot(bad_)), 0x5a, control_.header().slot_bytes);
  std::memset(static_cast<void*>(&wake(bad_)), 0x5a, sizeof(WakeEntry));
  control_.doorbells().ring(bad_);
  turn();
  expect_condemned();
}

}  // namespace
}  // namespace mayfly
