// Weighted sharing of one core among the NFs that want it: start-time fair queueing (Goyal, Vin,
// Cheng, SIGCOMM 1996), with the processor's time in place of a link's.
//
// Each NF has a tag, in virtual time: cycles of an NF of weight 100. Whoever is ready and has the
// lowest tag is next. For a turn of `c` cycles its tag grows by c * 100 / weight. The core's own
// virtual time is the tag of whoever was served last, and nobody who has slept becomes ready with a
// lower one: he has saved up nothing. (Who comes back within kBackSoon looks has not slept: it took
// so long to hear that he has more to do. Yet kSaved is the most that anybody is ever behind.)
//
//   - Nobody waits for ever: every turn moves a tag by something, so that each NF passes another
//     only so many times before its own tag is the higher one.
//   - Nobody pays for time in which nobody else wanted the core.
//   - An NF is shown to holders (put into the queue that cannot be reordered) only if its tag is
//     not above what those before it will have after their turns: else it would go ahead of one
//     that is entitled to come again first. With few NFs that is all there is to the order: the
//     owner finds nobody waiting, and goes on.
//
// How long a turn was has two witnesses. The NF says how long it worked (SlotFromNf::held_cycles):
// exact, but it may lie. The vSwitch sees who has the core whenever it looks: true on the average
// (each is found as often as its part of the core is), but rough, as turns may be shorter than the
// time between two looks. So an NF is charged what it says, cut to what is possible (from the look
// before it was first found the owner to the one that found it gone); every kCompare cycles the two
// are compared, and while what it says is not within a factor of two of what was seen, it is
// charged what was seen, the same for each turn. (Turns in which the vSwitch did not look for
// kBlind, because its CPU was taken from it, do not count for that: the owner may have run out of
// work.) Nobody thus gets more than twice his part by what he says, and whoever says nothing gets
// his part.
//
// Tags are doubles: exact to a cycle for a month without a rest, to a hundred for eight years, and
// always moved by at least the least step.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>

#include "runtime/base/types.h"

namespace mayfly {

// One NF's part in it. All but the weight begins anew with each binding.
struct FairShare {
  double weight = 100;
  double tag = 0;
  double usual = 0;       // cycles a turn, smoothed
  uint64_t reported = 0;  // its own counter when it was last charged, ...
  uint64_t left = 0;      // ... and the number of looks until then
  // Since the witnesses were last compared, and what came of that.
  double said = 0, seen = 0;
  uint32_t turns = 0;
  bool honest = true;
  double seen_a_turn = 0;
};

class FairClock {
 public:
  // It is ready.
  void enter(FairShare& nf) const {
    const bool slept = looks_ - nf.left > kBackSoon;
    nf.tag = std::max(nf.tag, slept ? served_ : served_ - kSaved);
  }
  // It has got the core: noticed at a look, or granted.
  void serve(const FairShare& nf, Cycles now) {
    served_ = std::max(served_, nf.tag);
    possible_since_ = looked_;
    seen_ = 0;
    blind_ = now.n - looked_.n > kBlind;
  }
  // It has let go of the core; `reported` is its counter now.
  void charge(FairShare& nf, uint64_t reported, Cycles now);
  // The end of a look: somebody owns the core, or nobody; others want it, or not.
  void look(Cycles now, bool owned, bool wanted);

  // Its tag after the turn it waits for; if it let go now.
  static double finish(const FairShare& nf) { return nf.tag + scaled(nf, nf.usual); }
  double finish_of_owner(const FairShare& nf, Cycles now) const {
    return nf.tag + scaled(nf, possible(now));
  }

  // Tags in the order of unsigned numbers (they are never negative).
  static uint64_t key(double tag) { return std::bit_cast<uint64_t>(tag); }

 private:
  static constexpr double kCompare = 8e6, kSaved = 4e6;
  static constexpr uint64_t kBackSoon = 4, kBlind = 500'000;
  static constexpr double kSmooth = 8;

  static double scaled(const FairShare& nf, double cycles) { return cycles * 100 / nf.weight; }
  static void compare(FairShare& nf);
  double possible(Cycles now) const {
    const Cycles since = std::max(possible_since_, unwanted_);
    return now > since ? static_cast<double>(now.n - since.n) : 0;
  }

  double served_ = 0;  // virtual time
  uint64_t looks_ = kBackSoon + 1;
  Cycles looked_{0};          // the last look
  Cycles unwanted_{0};        // the last that, like the one before, found nobody waiting
  bool wanted_ = false;       // at the last look
  Cycles possible_since_{0};  // the look before the owner was noticed
  double seen_ = 0;           // cycles that the owner was found with since then
  bool blind_ = false;        // there was a gap of kBlind between two looks in that time
};

inline void FairClock::charge(FairShare& nf, uint64_t reported, Cycles now) {
  const double said = std::min(static_cast<double>(reported - nf.reported), possible(now));
  nf.reported = reported;
  nf.left = looks_;
  if (!blind_ && now.n - looked_.n <= kBlind) {
    nf.said += said;
    nf.seen += seen_;
    ++nf.turns;
    if (std::max(nf.said, nf.seen) > kCompare) compare(nf);
  }
  const double held = std::max(1.0, nf.honest ? said : nf.seen_a_turn);
  nf.usual += (held - nf.usual) / kSmooth;
  nf.tag = std::max(nf.tag + scaled(nf, held), std::nextafter(nf.tag, HUGE_VAL));
}

inline void FairClock::compare(FairShare& nf) {
  nf.honest = nf.said >= nf.seen / 2 && nf.said <= 2 * nf.seen;
  nf.seen_a_turn = nf.seen / nf.turns;
  nf.said = nf.seen = 0;
  nf.turns = 0;
}

inline void FairClock::look(Cycles now, bool owned, bool wanted) {
  // Who lets go and has more to do is back a look later.
  const bool before = std::exchange(wanted_, wanted);
  if (!wanted && !before)
    unwanted_ = now;
  else if (owned && now > looked_)
    seen_ += static_cast<double>(now.n - looked_.n);
  blind_ |= now.n - looked_.n > kBlind;
  looked_ = now;
  ++looks_;
}

}  // namespace mayfly
