/* An NF that is moved from one NF core to another while it may be working, going to sleep, or waking
 * up (runtime/vswitch/placement.cc), under the baton (runtime/abi/baton.h, models/baton.pml). One NF,
 * two cores, a vSwitch that decides to move it at any time. Of the baton only ownership is modelled:
 * the NF owns a core's baton, or it does not.
 *
 *   NF                                     vSwitch, each turn
 *   1 word = ASLEEP                        a push packets, publish the ring index
 *   2 full fence                           b full fence; who has let go of his baton?
 *   3 core = entry.core                    c packets wait, and it owns no baton: it is ready.
 *   4 its baton ours? word = AWAKE, work   d it is to move: entry.core = target
 *   5 packets left? ring the doorbell      e it owns the core's baton now (compare-and-swap)
 *   6 wait while word == ASLEEP            f word == ASLEEP? exchange it for AWAKE: wake
 *
 * The NF's stores are delayed by a store buffer of one entry (x86-TSO) until a fence or a locked
 * instruction; the vSwitch's d and e are in order for everybody, because e is a locked instruction.
 *
 * Checked (spin, weak fairness):
 *   one_core      safety: it never owns the batons of two cores
 *   no_lost_wake  safety: it never sleeps, with no wake on its way, as the owner of a baton, while
 *                 the vSwitch is between two turns
 *   served        liveness: waiting packets are taken, wherever it was moved meanwhile
 */
#define ASLEEP 1
#define AWAKE 0
#define MOD 4                /* ring indices run modulo this */
#define RING 2

byte produced, consumed;
byte word = ASLEEP;          /* as everybody sees it */
bool buffered;               /* the NF's store of ASLEEP is still in its buffer */
byte core;                   /* entry.core, as the NF reads it */
bool owns[2];                /* the heads: does this NF own that core's baton? */
bool bell;
bit odd;                     /* how many packets were taken, for `served` */
bool blocked;                /* in the kernel's futex queue */

/* The vSwitch's own: */
byte placed, target;
bool between_turns = true;

#define WAITING (produced != consumed)

ltl one_core { [] !(owns[0] && owns[1]) }
ltl no_lost_wake { [] !(between_turns && blocked && (owns[0] || owns[1])) }
ltl served { [] ((WAITING && !odd -> <> (odd || !WAITING)) && (WAITING && odd -> <> (!odd || !WAITING))) }

proctype Nf() {
  byte mine;                 /* the core whose baton it looks at */
  do
  :: /* has_baton() */
     if
     :: owns[mine] -> goto work
     :: else
     fi;
     buffered = true;                                              /* 1: word = ASLEEP */
     atomic { !buffered };                                         /* 2: fence */
     mine = core;                                                  /* 3 */
     if
     :: owns[mine] -> goto work                                    /* 4 */
     :: else
     fi;
     if
     :: WAITING -> bell = true                                     /* 5 */
     :: else
     fi;
     if                                                            /* 6: futex, the kernel compares */
     :: atomic { word == ASLEEP -> blocked = true }; !blocked
     :: word != ASLEEP
     fi;
     goto again;
work:
     atomic { !buffered; word = AWAKE };
     if
     :: atomic { WAITING -> consumed = (consumed + 1) % MOD; odd = 1 - odd }
     :: else
     fi;                                                           /* later ones are left to its next turn */
     atomic { owns[mine] = false };                                /* park, or hand over: an exchange */
again:
     skip
  od
}

/* The NF's store buffer. */
proctype Memory() {
end_empty:
  do
  :: atomic { buffered -> word = ASLEEP; buffered = false }
  od
}

proctype Vswitch() {
end_turn:
  do
  :: between_turns = false;
     if                                                            /* a, with its fence b */
     :: (produced + MOD - consumed) % MOD < RING -> produced = (produced + 1) % MOD
     :: true
     fi;
     if                                                            /* the control thread's wish */
     :: target = 1 - target
     :: true
     fi;
     bell = false;
     if
     :: WAITING && !owns[placed] ->                                /* c */
        if
        :: placed != target ->
           placed = target;
           core = target                                           /* d */
        :: else
        fi;
        owns[placed] = true;                                       /* e */
        if
        :: atomic { word == ASLEEP -> word = AWAKE }; blocked = false   /* f */
        :: else
        fi
     :: else
     fi;
     between_turns = true
  od
}

init {
  atomic {
    run Nf();
    run Memory();
    run Vswitch()
  }
}
