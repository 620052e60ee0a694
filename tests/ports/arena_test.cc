#include "runtime/arena/arena.h"

#include <fcntl.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <set>

#include "tests/ports/port_env.h"

namespace mayfly {
namespace {

using ArenaTest = PortTest;

TEST_F(ArenaTest, SizeIsWhatTheRegionHeaderSays) {
  RegionHeader h{};
  h.small_count = kPackets;
  h.jumbo_count = kJumboPackets;
  lay_out(h);
  EXPECT_EQ(arena_->bytes(), h.arena_bytes);
}

TEST_F(ArenaTest, TheMemfdCannotChangeItsSize) {
  EXPECT_NE(ftruncate(arena_->fd(), 4096), 0);
  EXPECT_NE(ftruncate(arena_->fd(), static_cast<off_t>(arena_->bytes() * 2)), 0);
  EXPECT_NE(fcntl(arena_->fd(), F_ADD_SEALS, F_SEAL_WRITE), 0);
}

TEST_F(ArenaTest, AnotherMappingSeesTheBuffers) {
  const BufferId b = arena_->alloc();
  void* map = mmap(nullptr, arena_->bytes(), PROT_READ, MAP_SHARED, arena_->fd(), 0);
  ASSERT_NE(map, MAP_FAILED);
  std::memcpy(arena_->packet(b), "mayfly", 6);
  const auto* there =
      static_cast<uint8_t*>(map) + buffer_offset(b, arena_->small_count()) + kHeadroomBytes;
  EXPECT_EQ(std::memcmp(there, "mayfly", 6), 0);
  munmap(map, arena_->bytes());
  arena_->free(b);
}

TEST_F(ArenaTest, GivesOutEveryBufferOnceThenNone) {
  std::set<BufferId> seen;
  for (uint32_t i = 0; i < kPackets; ++i) {
    const BufferId b = arena_->alloc();
    ASSERT_NE(b, kNone<BufferId>);
    EXPECT_LT(raw(b), kPackets);
    EXPECT_TRUE(seen.insert(b).second);
    EXPECT_EQ(arena_->meta(b).offset, kHeadroomBytes);
    EXPECT_EQ(arena_->meta(b).length, 0);
  }
  EXPECT_EQ(arena_->alloc(), kNone<BufferId>);
  for (uint32_t i = 0; i < kJumboPackets; ++i) {
    const BufferId b = arena_->alloc_jumbo();
    ASSERT_NE(b, kNone<BufferId>);
    EXPECT_GE(raw(b), kPackets);
    EXPECT_EQ(arena_->buffer_bytes(b), kJumboBufferBytes);
    EXPECT_TRUE(seen.insert(b).second);
  }
  EXPECT_EQ(arena_->alloc_jumbo(), kNone<BufferId>);
  EXPECT_EQ(arena_->count_held(), kPackets + kJumboPackets);
  for (const BufferId b : seen) arena_->free(b);
  EXPECT_EQ(arena_->count_held(), 0u);
}

TEST_F(ArenaTest, WithDriversAllBuffersStillComeOut) {
  arena_->serve_drivers(true);
  EXPECT_GT(rte_mempool_avail_count(arena_->small_pool()), kPackets / 2);
  for (int round = 0; round < 5; ++round) {
    std::set<BufferId> seen;
    for (BufferId b; (b = arena_->alloc()) != kNone<BufferId>;) ASSERT_TRUE(seen.insert(b).second);
    for (BufferId b; (b = arena_->alloc_jumbo()) != kNone<BufferId>;) {
      ASSERT_TRUE(seen.insert(b).second);
    }
    EXPECT_EQ(seen.size(), kPackets + kJumboPackets);
    for (const BufferId b : seen) arena_->free(b);
    EXPECT_GE(rte_mempool_avail_count(arena_->small_pool()), kPackets / 2);
    EXPECT_EQ(rte_mempool_avail_count(arena_->jumbo_pool()), kJumboPackets);
  }
}

TEST_F(ArenaTest, MbufsPointAtTheirBuffers) {
  for (const BufferId b : {BufferId{0}, BufferId{kPackets - 1}, BufferId{kPackets},
                           BufferId{kPackets + kJumboPackets - 1}}) {
    const rte_mbuf* m = arena_->mbuf_of(b);
    EXPECT_EQ(m->buf_addr, arena_->buffer(b));
    EXPECT_EQ(arena_->buffer_of(m), b);
    EXPECT_EQ(m->buf_len, raw(b) < kPackets ? kSmallBufferBytes : kJumboReachBytes);
    EXPECT_EQ(m->data_off, kHeadroomBytes);
    EXPECT_TRUE(RTE_MBUF_HAS_PINNED_EXTBUF(m));
  }
}

TEST_F(ArenaTest, AnMbufFromElsewhereIsNotOurs) {
  rte_mempool* other = rte_pktmbuf_pool_create("other", 63, 0, 0, 2048, SOCKET_ID_ANY);
  ASSERT_NE(other, nullptr);
  rte_mbuf* m = rte_pktmbuf_alloc(other);
  EXPECT_EQ(arena_->buffer_of(m), kNone<BufferId>);
  EXPECT_FALSE(arena_->adoptable(m));
  rte_pktmbuf_free(m);
  rte_mempool_free(other);
}

// What a driver may leave in an mbuf must not reach the next user of it.
TEST_F(ArenaTest, AReceivedMbufGoesBackAsItMustBe) {
  arena_->serve_drivers(false);
  rte_mbuf* m = rte_pktmbuf_alloc(arena_->small_pool());
  ASSERT_NE(m, nullptr);
  m->data_off = 100;
  m->data_len = m->pkt_len = 77;
  m->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
  m->vlan_tci = 5;
  ASSERT_TRUE(arena_->adoptable(m));
  const BufferId b = arena_->adopt(m);
  EXPECT_EQ(arena_->meta(b).offset, 100);
  EXPECT_EQ(arena_->meta(b).length, 77);
  arena_->free(b);
  std::vector<rte_mbuf*> all;
  std::vector<BufferId> spare;
  for (BufferId s; (s = arena_->alloc()) != kNone<BufferId>;) spare.push_back(s);
  for (const BufferId s : spare) all.push_back(arena_->mbuf_of(s));
  EXPECT_EQ(all.size(), kPackets);
  for (const rte_mbuf* each : all) {
    ASSERT_EQ(rte_mbuf_refcnt_read(each), 1);
    ASSERT_EQ(each->nb_segs, 1);
    ASSERT_EQ(each->next, nullptr);
    ASSERT_EQ(each->ol_flags, RTE_MBUF_F_EXTERNAL);
  }
  for (const BufferId s : spare) arena_->free(s);
}

TEST_F(ArenaTest, AReleasedMbufComesBackThroughTheMempool) {
  arena_->serve_drivers(true);
  for (const uint32_t bytes : {60u, 1920u, 1921u, kFrameBytesMax}) {
    const BufferId b = arena_->alloc_for(bytes);
    ASSERT_NE(b, kNone<BufferId>);
    arena_->meta(b).length = static_cast<uint16_t>(bytes);
    rte_mbuf* m = arena_->release(b);
    EXPECT_EQ(m->pkt_len, bytes);
    EXPECT_EQ(rte_pktmbuf_mtod(m, uint8_t*), arena_->buffer(b) + kHeadroomBytes);
    const char* reason = "";
    EXPECT_EQ(rte_mbuf_check(m, 1, &reason), 0) << reason;
    rte_mempool* home = bytes <= kSmallFrameBytesMax ? arena_->small_pool() : arena_->jumbo_pool();
    const unsigned before = rte_mempool_avail_count(home);
    rte_pktmbuf_free(m);  // as a driver does after sending
    EXPECT_EQ(rte_mempool_avail_count(home), before + 1);
    EXPECT_EQ(arena_->buffer_of(m), b);
  }
}

TEST_F(ArenaTest, AChainOrASharedMbufIsNotAdopted) {
  arena_->serve_drivers(false);
  rte_mbuf* head = rte_pktmbuf_alloc(arena_->small_pool());
  rte_mbuf* tail = rte_pktmbuf_alloc(arena_->small_pool());
  head->data_len = tail->data_len = 10;
  head->pkt_len = tail->pkt_len = 10;
  ASSERT_EQ(rte_pktmbuf_chain(head, tail), 0);
  EXPECT_FALSE(arena_->adoptable(head));
  rte_pktmbuf_free(head);
  rte_mbuf* shared = rte_pktmbuf_alloc(arena_->small_pool());
  rte_mbuf_refcnt_update(shared, 1);
  EXPECT_FALSE(arena_->adoptable(shared));
  rte_pktmbuf_free(shared);
  rte_pktmbuf_free(shared);
}

TEST_F(ArenaTest, BlankLoansAreNotPackets) {
  const BufferId packet = arena_->alloc(), lent = arena_->alloc(), blank = arena_->alloc();
  arena_->meta(lent).holder = 12;
  arena_->meta(lent).binding = 3;
  arena_->meta(blank).holder = 12;
  arena_->meta(blank).binding = kBlankLoan;
  EXPECT_EQ(arena_->count_held(), 2u);
  for (const BufferId b : {packet, lent, blank}) arena_->free(b);
}

TEST(Arena, RefusesImpossibleCounts) {
  EXPECT_FALSE(Arena::create({0, 4, false, false}).ok());
  EXPECT_FALSE(Arena::create({1u << kBufferIndexBits, 1, false, false}).ok());
}

TEST(Arena, AsksForHugePagesItCannotHave) {
  if (free_huge_pages() >= 3) GTEST_SKIP() << "this host has free huge pages";
  const auto needs = Arena::create({1024, 1, true, true});
  ASSERT_FALSE(needs.ok());
  EXPECT_NE(needs.status().message().find("nr_hugepages"), absl::string_view::npos);
  const auto tries = Arena::create({1024, 1, true, false});
  ASSERT_TRUE(tries.ok()) << tries.status();
  EXPECT_FALSE((*tries)->huge());
}

TEST(Arena, UsesHugePagesWhereTheHostHasThem) {
  if (free_huge_pages() < 3) GTEST_SKIP() << "SKIPPED: no free huge pages on this host";
  const auto arena = Arena::create({1024, 1, true, true});
  ASSERT_TRUE(arena.ok()) << arena.status();
  EXPECT_TRUE((*arena)->huge());
  const BufferId b = (*arena)->alloc_jumbo();
  std::memset((*arena)->buffer(b), 1, kJumboBufferBytes);
  (*arena)->free(b);
}

TEST(Ledger, EveryReasonHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < kDropCount; ++i) {
    const std::string_view name = drop_name(static_cast<Drop>(i));
    EXPECT_FALSE(name.empty());
    EXPECT_TRUE(names.insert(name).second) << name;
  }
  EXPECT_EQ(drop_name(Drop::no_rule), "no_rule");
  EXPECT_EQ(drop_name(Drop::nf_ring_full), "nf_ring_full");
  EXPECT_EQ(drop_name(Drop::shutdown), "shutdown");
  EXPECT_EQ(drop_name(Drop::tx_runt), "tx_runt");
}

}  // namespace
}  // namespace mayfly
