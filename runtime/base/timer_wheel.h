// A hierarchical timing wheel (Varghese and Lauck, SOSP 1987) over dense ids: arming, cancelling
// and firing cost O(1), advancing over empty time costs O(1), whatever the number of timers or the
// length of the jump. advance() does at most `budget` units of work (a fire or a move to a finer
// level) and goes on where it stopped, so that a million timers due at once never make one long
// turn.
//
// Theory. Time is counted in ticks and read as a number of base-64 digits. A timer lies on the
// level of the highest digit in which its due tick differs from `elapsed_`, in the cell of that
// digit's value:
//
//     elapsed_    ... 07 | 31 | 20       level 2: cells 08..63 may be occupied
//     due         ... 07 | 40 | 05       level 1: cells 32..63       -> this timer: level 1, cell
//     40
//                                        level 0: cells 20..63
//
// Three things follow, and the code rests on them:
//   1. everything on a level is due before everything on the next one, so the next thing to happen
//      is the lowest occupied cell of the lowest occupied level: two bit scans, no search;
//   2. elapsed_ may jump to any tick before that cell begins, and every timer still lies where the
//      rule wants it;
//   3. when elapsed_ enters a cell above level 0, all its timers move to lower levels, each at most
//      once a level in its life.
// Rule 3 must be complete before elapsed_ moves on, or a timer would be left behind: when the
// budget ends inside such a move, `unfinished_` remembers the cell, and the next advance() first
// ends it.
//
// Eleven levels of six bits hold every 64-bit due time: there is no overflow list. Cells are
// circular lists through the timers' own records, their heads behind the last timer, so that
// cancel() needs to know neither level nor cell.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "runtime/base/types.h"

namespace mayfly {

class TimerWheel {
 public:
  // `tick`: resolution (rounded down to a power of two). A timer never fires early, and at most one
  // tick late (plus what the caller's own rhythm and budget add).
  TimerWheel(uint32_t timer_count, Cycles tick, Cycles now)
      : shift_(tick.n < 2 ? 0 : static_cast<uint32_t>(std::bit_width(tick.n)) - 1),
        timer_count_(timer_count),
        elapsed_(now.n >> shift_),
        records_(size_t{timer_count} + kLevels * kCells) {
    for (uint32_t i = 0; i < kLevels * kCells; ++i) {
      records_[timer_count_ + i].next = records_[timer_count_ + i].prev = timer_count_ + i;
    }
  }

  // Re-arms if armed; a due time in the past fires next.
  void arm(uint32_t timer, Cycles due) {
    cancel(timer);
    records_[timer].due = (due.n >> shift_) + ((due.n & ((uint64_t{1} << shift_) - 1)) != 0);
    link(timer);
    ++armed_count_;
  }
  void cancel(uint32_t timer) {  // no-op if not armed
    if (!armed(timer)) return;
    unlink(timer);
    --armed_count_;
  }
  bool armed(uint32_t timer) const { return records_[timer].next != kUnlinked; }
  uint32_t armed_count() const { return armed_count_; }

  // Calls fire(id) for timers due at `now` (disarmed first: fire may arm or cancel any timer, this
  // one too). Returns the number fired. Timers fire in the order of their ticks; those of one tick
  // in no order to rely on.
  template <class Fire>
  uint32_t advance(Cycles now, uint32_t budget, Fire&& fire) {
    const uint64_t target = now.n >> shift_;
    uint32_t fired = 0;
    while (budget > 0) {
      if (unfinished_ != kNoCell) {
        budget -= move_down(budget);
        continue;
      }
      if (occupied_levels_ == 0) break;
      const uint32_t level = static_cast<uint32_t>(std::countr_zero(occupied_levels_));
      const uint32_t cell = static_cast<uint32_t>(std::countr_zero(occupied_[level]));
      const uint64_t begin = begin_of(level, cell);
      if (begin > target) break;
      elapsed_ = begin;
      if (level > 0) {
        unfinished_ = level * kCells + cell;
        continue;
      }
      const uint32_t timer = records_[timer_count_ + cell].next;
      unlink(timer);
      --armed_count_;
      --budget;
      ++fired;
      fire(timer);
    }
    if (unfinished_ == kNoCell && nothing_due(target)) elapsed_ = std::max(elapsed_, target);
    return fired;
  }

 private:
  static constexpr uint32_t kDigitBits = 6;
  static constexpr uint32_t kCells = 1u << kDigitBits;
  static constexpr uint32_t kLevels = 11;
  static constexpr uint32_t kUnlinked = 0xffffffff;
  static constexpr uint32_t kNoCell = 0xffffffff;
  static_assert(kLevels * kDigitBits >= 64, "any due time has a level");

  struct Record {
    uint64_t due = 0;  // ticks
    uint32_t next = kUnlinked;
    uint32_t prev = kUnlinked;
  };

  uint64_t begin_of(uint32_t level, uint32_t cell) const {
    const uint32_t above = (level + 1) * kDigitBits;
    const uint64_t prefix = above >= 64 ? 0 : (elapsed_ >> above) << above;
    return prefix | (uint64_t{cell} << (level * kDigitBits));
  }

  bool nothing_due(uint64_t target) const {
    if (occupied_levels_ == 0) return true;
    const uint32_t level = static_cast<uint32_t>(std::countr_zero(occupied_levels_));
    return begin_of(level, static_cast<uint32_t>(std::countr_zero(occupied_[level]))) > target;
  }

  // Moves up to `budget` timers of the unfinished cell to where they now belong; returns how many.
  uint32_t move_down(uint32_t budget) {
    const uint32_t head = timer_count_ + unfinished_;
    uint32_t moved = 0;
    while (moved < budget && records_[head].next != head) {
      const uint32_t timer = records_[head].next;
      unlink(timer);
      link(timer);
      ++moved;
    }
    if (records_[head].next == head) unfinished_ = kNoCell;
    return moved;
  }

  void link(uint32_t timer) {
    Record& record = records_[timer];
    const uint64_t due = std::max(record.due, elapsed_);
    const uint32_t level =
        (static_cast<uint32_t>(std::bit_width((due ^ elapsed_) | 1)) - 1) / kDigitBits;
    const uint32_t cell = static_cast<uint32_t>(due >> (level * kDigitBits)) & (kCells - 1);
    const uint32_t head = timer_count_ + level * kCells + cell;
    record.next = head;
    record.prev = records_[head].prev;
    records_[record.prev].next = timer;
    records_[head].prev = timer;
    occupied_[level] |= uint64_t{1} << cell;
    occupied_levels_ |= 1u << level;
  }

  void unlink(uint32_t timer) {
    Record& record = records_[timer];
    records_[record.prev].next = record.next;
    records_[record.next].prev = record.prev;
    if (record.next == record.prev && record.next >= timer_count_) empty(record.next);
    record.next = record.prev = kUnlinked;
  }

  void empty(uint32_t head) {
    const uint32_t level = (head - timer_count_) / kCells;
    occupied_[level] &= ~(uint64_t{1} << ((head - timer_count_) % kCells));
    if (occupied_[level] == 0) occupied_levels_ &= ~(1u << level);
  }

  const uint32_t shift_;
  const uint32_t timer_count_;
  uint32_t armed_count_ = 0;
  uint32_t occupied_levels_ = 0;     // bit per level: its word below is not zero
  uint32_t unfinished_ = kNoCell;    // level * kCells + cell being moved down
  uint64_t elapsed_;                 // ticks; all cells that began before it are empty
  uint64_t occupied_[kLevels] = {};  // bit per cell
  std::vector<Record> records_;      // timers, then the cells' heads
};

}  // namespace mayfly
