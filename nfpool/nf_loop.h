// The loop inside an NF process: take a burst, let the NF work on it, give it back, sleep.
//
//   for ever:
//     a new binding?  reset() / bind()
//     packets in the input ring?  take up to 64 (under the baton, what is left of its budget),
//                                 process(), write verdicts, ring the doorbell
//     tick() due?  tick()
//     nothing?  asleep flag, fence, re-check, wait (runtime/abi/wake.h)
//
// With the baton (runtime/abi/baton.h) the same passes are made while this NF holds it: until its
// budget is used up and others wait, or there is nothing left to do.
//
// The input index is published before process() is called: if the NF dies there, the packets it
// was given are lost with it and not handed to its successor, where they might kill again.
//
// A ring of its own for output cannot overflow: the vSwitch never lets an instance hold more packets
// and blanks than its rings have entries (less one for ask_blanks).
#pragma once

#include <cstdint>

#include "nfpool/nf_output.h"
#include "nfs/nf.h"
#include "runtime/abi/region.h"
#include "runtime/base/limits.h"
#include "runtime/base/types.h"
#include "scheduler/baton_seat.h"

namespace mayfly {

struct NfEnvironment {
  ControlView control;
  const std::byte* bind_base = nullptr;
  uint8_t* arena = nullptr;
  const NfImage* image = nullptr;
  NetworkFunction* nf = nullptr;
};

class NfLoop {
 public:
  NfLoop(const NfEnvironment& environment, SlotId slot, int wake_fd);
  [[noreturn]] void run();

  // One pass of the loop; false if there was nothing to do. (The loop a test drives by hand.)
  bool turn();
  // The same under the baton: all that is done while this NF holds it; false if it does not, and is
  // to sleep.
  bool baton_turn(BatonSeat& seat);

  // What an NF calls to wait for something else (CoreRelease in nfs/nf.h). Calls may be nested.
  void release_core();
  void regain_core();
  static void hook(CoreHandle& handle, NfLoop* loop);

 private:
  void take_binding();
  void process(uint32_t waiting);
  uint32_t take_packets(uint32_t waiting);
  void give_back(const Burst& burst, uint32_t packet_count);
  void give_back_originated(const Burst& burst);
  bool tick_if_due(uint64_t now_tsc);
  void ask_for_blanks();
  bool something_to_do() const;
  void sleep();

  // nf_baton.cc
  bool has_baton(BatonSeat& seat);
  uint32_t burst_within(uint64_t budget, const BatonSeat& seat) const;
  void hold_baton(BatonSeat& seat);
  bool idle_with_baton(BatonSeat& seat, uint64_t& idle_since);
  void clock_on();
  void report_held();
  uint64_t to_ns(uint64_t tsc) const {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(tsc) * ns_per_cycle_q32_ >> 32);
  }

  static constexpr uint32_t kSampleEvery = 16;  // bursts, for cost samples

  NfEnvironment env_;
  SlotId slot_id_;
  Slot& slot_;
  WakeEntry& wake_;
  int wake_fd_;
  RingConsumer in_;
  NfOutput out_;
  uint64_t ns_per_cycle_q32_;
  uint32_t bind_seq_ = 0;
  uint32_t bind_epoch_ = 0;
  bool bound_ = false;
  bool asked_ = false;
  uint32_t asked_at_ = 0;  // NfOutput's mark of the ask
  uint64_t packets_ = 0, bursts_ = 0, cost_cycles_ = 0, cost_packets_ = 0;
  uint32_t blank_count_ = 0;
  uint32_t burst_max_ = kNfBurst;
  uint64_t held_since_ = 0, held_cycles_ = 0;  // SlotFromNf::held_cycles
  BatonSeat* seat_ = nullptr;                  // once we had the baton
  uint32_t release_depth_ = 0;
  uint64_t away_since_ = 0, away_cycles_ = 0;
  Descriptor taken_[kNfBurst];
  Descriptor blank_descriptors_[kLoanCountMax];
  Packet packets_now_[kNfBurst];
  Packet blanks_now_[kLoanCountMax];
};

}  // namespace mayfly
