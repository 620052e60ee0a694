/* The sleep protocol of runtime/abi/wake.h, with the wake policy of scheduler/wake_policy.h and the
 * vSwitch's rationing of wakes around it, on a machine with x86-TSO memory: one NF instance, one
 * vSwitch, endless or ending traffic.
 *
 *   NF                                     vSwitch
 *   1 word = ASLEEP                        a push packets, publish the ring index
 *   2 full fence                           b full fence
 *   3 packets in the ring? word = AWAKE,   c word == ASLEEP? exchange it for AWAKE;
 *     go on                                  it was ASLEEP: wake
 *   4 wait while word == ASLEEP
 *
 * x86-TSO (Sewell et al., CACM 53(7), 2010): a plain store goes into the processor's own FIFO store
 * buffer and reaches memory later; loads read memory (or the own buffer); a fence, and every locked
 * instruction, waits until the buffer is empty. The buffers are channels here, and a process of
 * their own moves their heads to memory at any time. Without them a missing fence would not show.
 *
 * Checked (spin, weak fairness), for each setting of the parameters:
 *   no_lost_wake  safety: never does the NF sleep, with no wake on its way nor due in a later turn
 *                 and the vSwitch between two turns, on a whole batch (ageing on: on any packet
 *                 without a running timer)
 *   served        liveness: a waiting batch is taken, whatever the traffic does afterwards
 *   drained       liveness, ageing on: when the traffic ends, every packet is taken
 * and that nothing deadlocks and no index overruns.
 *
 * Parameters: BATCH 1..3; AGING 0 (off) or 1; WAIT: FUTEX (the kernel compares the word), or TOKEN
 * (semaphore, eventfd: a wake leaves a token; the NF loops around the word).
 */
#ifndef BATCH
#define BATCH 2
#endif
#ifndef AGING
#define AGING 0
#endif
#define FUTEX 0
#define TOKEN 1
#ifndef WAIT
#define WAIT FUTEX
#endif

#define RING 3              /* entries */
#define MOD 4               /* ring indices run modulo this */
#define TOKENS_MAX 1        /* tokens saturate, as an eventfd's do */
#define DISTANCE(ahead, behind) ((ahead + MOD - behind) % MOD)

#define AWAKE 0
#define ASLEEP 1

mtype = { PRODUCED, CONSUMED, WORD };

/* Memory, as it stands for everybody. */
byte produced, consumed, word = AWAKE;
byte tokens;
bool nf_blocked;            /* in the kernel's futex queue */

chan nf_stores = [2] of { mtype, byte };
chan vs_stores = [2] of { mtype, byte };
#define NF_FENCE (len(nf_stores) == 0)
#define VS_FENCE (len(vs_stores) == 0)

/* For the properties alone: */
bool nf_waits;              /* for a token */
bool nf_takes;
bool vs_idle = true;        /* between two turns */
bool traffic = true;
bool armed;                 /* the ageing timer runs */
bool in_ready;              /* the policy called it ready, and it has not been served yet */

#define FILL DISTANCE(produced, consumed)
#define NF_STAYS_ASLEEP (nf_blocked || (nf_waits && tokens == 0))
#define TO_WAKE (FILL >= BATCH || (AGING && FILL > 0 && !armed))

ltl no_lost_wake { [] !(NF_STAYS_ASLEEP && vs_idle && !in_ready && TO_WAKE) }
ltl served { [] ((FILL >= BATCH) -> <> (nf_takes || FILL < BATCH)) }
ltl drained { [] ((AGING && !traffic && FILL > 0) -> <> (FILL == 0)) }

/* A store buffer's way to memory. */
proctype Drain(chan stores) {
  mtype what;
  byte value;
end:
  do
  :: atomic {
       stores?what, value ->
       if
       :: what == PRODUCED -> produced = value
       :: what == CONSUMED -> consumed = value
       :: what == WORD -> word = value
       fi
     }
  od
}

proctype Nf() {
  byte mine;                /* consumed, as the NF knows it */
  byte seen;
  do
  :: seen = produced;
     if
     :: seen != mine ->     /* a burst: one packet, or all */
        assert(DISTANCE(seen, mine) <= RING);
        if
        :: mine = (mine + 1) % MOD
        :: mine = seen
        fi;
        nf_stores!CONSUMED, mine;
        nf_takes = true;
        nf_takes = false
     :: else ->
        /* sleep() */
        nf_stores!WORD, ASLEEP;                               /* 1 */
        NF_FENCE;                                             /* 2 */
        seen = produced;                                      /* 3 */
        if
        :: seen != mine -> nf_stores!WORD, AWAKE
        :: else ->
           /* 4: park(). System calls order memory. */
           do
           :: atomic { NF_FENCE && word != ASLEEP -> break }
#if WAIT == FUTEX
           :: atomic {
                NF_FENCE && word == ASLEEP -> nf_blocked = true  /* FUTEX_WAIT */
              }
end_futex:    !nf_blocked
#else
           :: NF_FENCE && word == ASLEEP ->
              if
              :: atomic { tokens > 0 -> tokens-- }
              :: atomic { tokens == 0 -> nf_waits = true }
end_token:       atomic { tokens > 0 -> tokens--; nf_waits = false }
              fi
#endif
           od
        fi
     fi
  od
}

inline wake_nf() {
#if WAIT == FUTEX
  nf_blocked = false                                          /* FUTEX_WAKE */
#else
  if
  :: atomic { tokens < TOKENS_MAX -> tokens++ }
  :: atomic { tokens == TOKENS_MAX -> skip }
  fi
#endif
}

/* Steps b and c, for an NF that the policy called ready. */
inline check_and_wake() {
  VS_FENCE;                                                   /* b */
  old = word;                                                 /* c */
  if
  :: old == ASLEEP ->
     atomic { VS_FENCE -> old = word; word = AWAKE };
     if
     :: old == ASLEEP -> wake_nf()
     :: else
     fi
  :: else
  fi
}

inline on_served() {
  waiting = 0
}

/* WakeState::on_packets(), for `count` packets just published. */
inline on_packets() {
  if
  :: waiting + count >= BATCH -> in_ready = true
  :: else ->
     if
     :: waiting == 0 -> armed = AGING
     :: else                /* the timer runs already */
     fi
  fi;
  atomic { waiting = (waiting + count > RING -> RING : waiting + count); count = 0 }
}

proctype Vswitch() {
  byte mine;                /* produced, as the vSwitch knows it */
  byte waiting;             /* WakeState::waiting: since the NF was last served */
  bool deferred;            /* wakes are rationed: it may have to wait for another turn */
  byte count, old;
  do
  :: atomic { (traffic && DISTANCE(mine, consumed) < RING) || armed || in_ready ->
              vs_idle = false };
     if                     /* collect: everything it had came back */
     :: atomic { mine == consumed -> on_served() }
     :: skip
     fi;
     if                     /* timers: expired, if the time has come */
     :: atomic { armed -> armed = false };
        if
        :: waiting != 0 -> in_ready = true
        :: else
        fi
     :: traffic || !armed
     fi;
     if                     /* receive and publish: one packet, two, or none */
     :: traffic && DISTANCE(mine, consumed) < RING -> count = 1
     :: traffic && DISTANCE(mine, consumed) + 2 <= RING -> count = 2
     :: skip
     fi;
     if
     :: count != 0 ->
        mine = (mine + count) % MOD;
        vs_stores!PRODUCED, mine;                             /* a */
        on_packets()
     :: else
     fi;
     if                     /* wake_ready */
     :: in_ready && !deferred -> deferred = true
     :: in_ready ->
        atomic { in_ready = false; deferred = false; on_served() };
        check_and_wake()
     :: !in_ready
     fi;
     atomic { old = 0; vs_idle = true }
  :: atomic { traffic -> traffic = false }                    /* ... for ever */
  :: atomic { !traffic && !armed && !in_ready ->
end_quiet: false }
  od
}

init {
  atomic {
    run Drain(nf_stores);
    run Drain(vs_stores);
    run Nf();
    run Vswitch()
  }
}
