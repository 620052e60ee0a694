// The images that other tests use do what those tests believe they do.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "tests/nfs/frames.h"

namespace mayfly {
namespace {

NfHarness bound(const std::string& name, const NfHarness::Given& given) {
  NfHarness nf(NfHarness::load(test_image(name)));
  if (const auto error = nf.configure(given)) throw std::runtime_error(error->message);
  nf.bind();
  return nf;
}

TEST(CrashImage, DiesOfItsMarkerOnly) {
  NfHarness nf = bound("crash", {{"marker", "dead"}, {"offset", "2"}});
  EXPECT_EQ(nf.process_one({1, 2, 3, 4, 5}).verdict, Verdict::next);
  EXPECT_EQ(nf.process_one({1, 2, 0xde}).verdict, Verdict::next);
  EXPECT_EXIT(nf.process_one({1, 2, 0xde, 0xad}), testing::KilledBySignal(SIGSEGV), "");
}

TEST(CrashImage, DiesInCreateOrBind) {
  NfHarness init(NfHarness::load(test_image("crash")));
  EXPECT_EXIT(init.configure({{"in_init", "true"}}), testing::KilledBySignal(SIGSEGV), "");
  EXPECT_EXIT(bound("crash", {{"in_bind", "true"}}), testing::KilledBySignal(SIGSEGV), "");
}

TEST(HangImage, HangsAfterItsPackets) {
  NfHarness nf = bound("hang", {{"after", "2"}});
  EXPECT_EQ(nf.process({{1}, {2}}).size(), 2u);
  EXPECT_EXIT(
      {
        signal(SIGALRM, SIG_DFL);
        ualarm(10'000, 0);
        nf.process_one({3});
      },
      testing::KilledBySignal(SIGALRM), "");
}

TEST(RestlessImage, NapsWhereverItIs) {
  NfHarness nf = bound("restless", {{"one_in", "1"}, {"within", "1us"}, {"nap", "1ms"}});
  rusage before, now;
  getrusage(RUSAGE_SELF, &before);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(nf.process_one({1, 2, 3}).verdict, Verdict::next);
    getrusage(RUSAGE_SELF, &now);
    if (now.ru_nvcsw - before.ru_nvcsw > 10) break;
  }
  EXPECT_GT(now.ru_nvcsw - before.ru_nvcsw, 10) << "it gave up the CPU of its own accord";
  const itimerval none{};
  setitimer(ITIMER_REAL, &none, nullptr);
}

TEST(WaiterImage, SleepsForEveryPacket) {
  for (const char* keeps_core : {"true", "false"}) {
    NfHarness nf = bound("waiter", {{"sleep", "2ms"}, {"keeps_core", keeps_core}});
    timespec before, now;
    clock_gettime(CLOCK_MONOTONIC, &before);
    nf.process({{1}, {2}, {3}});
    clock_gettime(CLOCK_MONOTONIC, &now);
    EXPECT_GE((now.tv_sec - before.tv_sec) * 1'000'000'000 + now.tv_nsec - before.tv_nsec,
              6'000'000);
  }
}

TEST(RestlessImage, DiesWhereverItIs) {
  NfHarness nf = bound("restless", {{"one_in", "1"}, {"within", "1us"}, {"deaths", "100"}});
  EXPECT_EXIT(for (;;) nf.process_one({1, 2, 3}), testing::KilledBySignal(SIGKILL), "");
}

TEST(RewriterImage, Rows) {
  const Frame in{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
  struct Row {
    const char* name;
    NfHarness::Given given;
    uint32_t tailroom;
    Verdict verdict;
    Frame out;
  };
  const Frame grown_front = Frame(in.begin(), in.begin() + 4) + in;
  const Row rows[] = {
      {"nothing", {}, 0, Verdict::next, in},
      {"cut both ends",
       {{"cut_front", "2"}, {"cut_back", "3"}},
       0,
       Verdict::next,
       Frame(in.begin() + 2, in.end() - 3)},
      {"cut more than there is", {{"cut_front", "15"}}, 0, Verdict::drop, in},
      {"cut all", {{"cut_back", "14"}}, 0, Verdict::next, {}},
      {"add in front", {{"add_front", "4"}}, 0, Verdict::next, grown_front},
      {"add behind", {{"add_back", "2"}}, 2, Verdict::next, in + Frame{0xb0, 0xb0}},
      {"no room behind", {{"add_back", "2"}}, 1, Verdict::drop, in},
      {"no room in front", {{"add_front", "129"}}, 0, Verdict::drop, in},
  };
  for (const Row& row : rows) {
    NfHarness nf = bound("rewriter", row.given);
    nf.tailroom = row.tailroom;
    const Sent sent = nf.process_one(in);
    EXPECT_EQ(sent.verdict, row.verdict) << row.name;
    EXPECT_EQ(sent.bytes, row.out) << row.name;
  }
}

TEST(RewriterImage, OriginatesCopies) {
  NfHarness nf = bound("rewriter", {{"copies", "2"}, {"copies_out", "4"}});
  auto sent = nf.process({{1, 2, 3}});
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(sent[0].bytes, (Frame{1, 2, 3}));
  EXPECT_EQ(sent[1].bytes, (Frame{1, 2, 1}));
  EXPECT_EQ(sent[2].bytes, (Frame{1, 2, 2}));
  EXPECT_EQ(sent[2].verdict, Verdict::out);
  EXPECT_EQ(sent[2].out_port, 4);
  nf.blank_count = 1;
  EXPECT_EQ(nf.process({{1, 2, 3}, {4, 5, 6}}).size(), 3u) << "no blank, no copy";
}

}  // namespace
}  // namespace mayfly
