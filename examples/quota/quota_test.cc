// Runs the image in this process: no Mayfly, no root, no ports.
#include <cstdio>

#include "nfs/harness.h"

using mayfly::Frame;
using mayfly::NfHarness;
using mayfly::Verdict;

static int failures = 0;
static void expect(bool holds, const char* what) {
  std::printf("%s: %s\n", holds ? "ok" : "FAILED", what);
  failures += !holds;
}

int main(int, char** argv) {
  NfHarness nf(NfHarness::load(argv[1]));
  const Frame packet(100);

  expect(nf.configure({{"bytes", "10B"}}).has_value(), "a quota below one packet is refused");
  expect(!nf.configure({{"bytes", "250B"}}).has_value(), "250 bytes are fine");
  nf.bind();
  const auto sent = nf.process({packet, packet, packet});
  expect(sent[0].verdict == Verdict::next && sent[1].verdict == Verdict::next, "200 bytes pass");
  expect(sent[2].verdict == Verdict::drop, "the third packet would make it 300");

  nf.configure({{"bytes", "300B"}});
  nf.bind();  // the same flow, with a new configuration
  expect(nf.process_one(packet).verdict == Verdict::next, "a larger quota takes effect at once");
  expect(nf.process_one(packet).verdict == Verdict::drop, "what was used before still counts");

  nf.reset();
  nf.bind();  // another flow
  expect(nf.process_one(packet).verdict == Verdict::next, "the next flow begins at 0");
  return failures != 0;
}
