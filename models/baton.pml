/* The baton of one NF core: runtime/abi/baton.h, with the NF's end (nfpool/nf_baton.cc,
 * scheduler/baton_seat.cc) and the vSwitch's (runtime/vswitch/baton.cc, scheduler/baton_queue.h), on
 * a machine with x86-TSO memory (wake.pml says how store buffers are modelled). One core, NFS slots;
 * a watchdog may take the baton away at any moment, a killer may end an NF between any two of its
 * steps; a successor then gets its slot.
 *
 *   head, tail, entries, produced, word, bells   shared memory
 *   seat[]                                       BatonSeat::head_ of each NF
 *   v_...                                        private to the vSwitch
 *
 * A locked instruction (compare-and-swap, exchange, fetch_or) is one atomic step that waits for the
 * own store buffer; every other access to memory is a step of its own, unless nobody else can
 * tell. The head is packed into one byte, as it is packed into one word.
 *
 * Left out: batch and ageing (every packet calls its NF ready), the bell that an NF rings for its
 * output (it would only add wakes), memory that somebody scribbles over (tests do that).
 *
 * Checked:
 *   one_holder    (assert)  never do two NFs believe that they hold one and the same live head
 *   no_late_act   (assert)  whoever changes the head owned it: a revoked holder hands nothing over
 *   sane          (assert)  the vSwitch never finds the head where it cannot be
 *   at rest       (assert)  when nothing moves any more, no packet waits: no wake was lost, no baton
 *                           lies with one who sleeps or is dead
 *   served        (ltl)     with traffic that may never end, an NF with packets takes one
 *
 * Parameters: NFS 2 or 3; PACKETS to be sent (0: endless); RING; KILLS and REVOCATIONS that may
 * happen; TSO 0: memory is sequential; NUDGE 0: the vSwitch never mends a hand-over that was cut
 * short, which must not be needed unless somebody was killed.
 */
#ifndef NFS
#define NFS 2
#endif
#ifndef PACKETS
#define PACKETS 3
#endif
#ifndef RING
#define RING 1
#endif
#ifndef KILLS
#define KILLS 0
#endif
#ifndef REVOCATIONS
#define REVOCATIONS 0
#endif
#ifndef TSO
#define TSO 1
#endif
#ifndef NUDGE
#define NUDGE 0
#endif

#define ENTRIES 4           /* indices run modulo this */
#define QUEUE_MAX 2         /* BatonQueue::full(): kReadyEntries - 2 */
#define NOBODY 7
#define MOD 4               /* of ring indices */

#define HEAD(epoch, parked, index) ((epoch) * 2 * ENTRIES + (parked) * ENTRIES + (index))
#define EPOCH(h) ((h) / (2 * ENTRIES))
#define PARKED(h) ((h) / ENTRIES % 2)
#define INDEX(h) ((h) % ENTRIES)
#define NEXT(i) (((i) + 1) % ENTRIES)
#define LAST(i) (((i) + ENTRIES - 1) % ENTRIES)
#define DISTANCE(ahead, behind) (((ahead) + ENTRIES - (behind)) % ENTRIES)
#define UNREAD(ahead, behind) (((ahead) + MOD - (behind)) % MOD)

#define AWAKE 0
#define ASLEEP 1
#define NONE 2

mtype = { PRODUCED, ENTRY, TAIL };

/* Memory. */
byte head = HEAD(1, 1, 0), tail, entries[ENTRIES] = NOBODY;
byte produced[NFS], consumed[NFS];
byte word[NFS] = AWAKE;
bit bell[NFS];
bit blocked[NFS];           /* in the kernel's futex queue */

/* Store buffers: of each NF (the word is all that it stores plainly and is looked at for), and of
 * the vSwitch. */
byte word_store[NFS] = NONE;
chan vs_stores = [4] of { mtype, byte, byte };
#if TSO
#define NF_FENCE(n) (word_store[n] == NONE)
#define VS_FENCE (len(vs_stores) == 0)
#define STORE_WORD(n, v) atomic { word_store[n] == NONE -> word_store[n] = v }
#define STORE_PRODUCED(n, v) vs_stores!PRODUCED, n, v
#define STORE_ENTRY(i, v) vs_stores!ENTRY, i, v
#define STORE_TAIL(v) vs_stores!TAIL, 0, v
#else
#define NF_FENCE(n) true
#define VS_FENCE true
#define STORE_WORD(n, v) word[n] = v
#define STORE_PRODUCED(n, v) produced[n] = v
#define STORE_ENTRY(i, v) entries[i] = v
#define STORE_TAIL(v) tail = v
#endif

/* The NFs' own. */
byte seat[NFS];
bit believes[NFS];
#define HOLDS(n) (believes[n] && seat[n] == head)

/* The vSwitch's own. */
byte v_head = HEAD(1, 1, 0), v_tail, v_last = NOBODY, v_order[ENTRIES] = NOBODY;
byte v_produced[NFS];
bit v_in_ready[NFS];
bit v_lives[NFS] = 1;
chan v_ready = [NFS] of { byte };     /* the private FIFO */

/* The world's. */
byte packets = PACKETS, kills = KILLS, revocations = REVOCATIONS;
bit killed[NFS];
byte owner = NOBODY;        /* by the rules of abi/baton.h */
bit takes[NFS];

#define WAITING(n) (produced[n] != consumed[n])
#if NFS == 2
#define NOT_HELD_BUT_BY(n) (!HOLDS(1 - n))
#else
#define NOT_HELD_BUT_BY(n) (!HOLDS((n + 1) % 3) && !HOLDS((n + 2) % 3))
#endif

#if PACKETS == 0
ltl served { [] (WAITING(0) -> <> (takes[0] || !WAITING(0) || killed[0])) }
#endif

#if TSO
/* The way of stores to memory. */
proctype Drain() {
  mtype what;
  byte at, value;
end:
  do
  :: atomic {
       vs_stores?what, at, value ->
       if
       :: what == PRODUCED -> produced[at] = value
       :: what == ENTRY -> entries[at] = value
       :: what == TAIL -> tail = value
       fi;
       what = 0; at = 0; value = 0
     }
  :: atomic { word_store[0] != NONE -> word[0] = word_store[0]; word_store[0] = NONE }
  :: atomic { word_store[1] != NONE -> word[1] = word_store[1]; word_store[1] = NONE }
#if NFS == 3
  :: atomic { word_store[2] != NONE -> word[2] = word_store[2]; word_store[2] = NONE }
#endif
  od
}
#endif

/* ------------------------------------------------------------------------------------------------
 * The NF's end. */

inline believe() {
  believes[id] = 1;
  assert(NOT_HELD_BUT_BY(id))                                 /* one_holder */
}

/* BatonSeat::mine(): goes to `yes`, or on. */
#define MINE(yes) \
  seat[id] = head; \
  if \
  :: PARKED(seat[id]) \
  :: else -> \
     slot = entries[LAST(INDEX(seat[id]))];                   /* whose */ \
     if \
     :: slot != id -> slot = 0 \
     :: else -> \
        slot = 0; \
        if \
        :: atomic { seat[id] == head -> believe(); goto yes } /* still_mine */ \
        :: atomic { seat[id] != head -> skip } \
        fi \
     fi \
  fi

/* BatonSeat::next(): the first that waits, or NOBODY; `index` behind it. */
inline find_next() {
  end = tail;
  slot = NOBODY;
  do
  :: index == end || slot != NOBODY -> break
  :: else -> slot = entries[index]; index = NEXT(index)
  od;
  end = 0
}

/* BatonSeat::exchange(), in an atomic sequence, once NF_FENCE holds. */
inline exchange_head(to, who) {
  assert(owner == id);                                        /* no_late_act */
  head = to;
  seat[id] = to;
  owner = who
}

inline wake_word(n) {
  if
  :: word[n] == ASLEEP -> word[n] = AWAKE; asleep = true
  :: else
  fi
}

proctype Nf(byte id) {
  byte slot, index, end;
  bool asleep;
begin:
  {
    /* wait_for_baton() */
wait:
    MINE(hold);
    STORE_WORD(id, ASLEEP);                                   /* asleep */
    NF_FENCE(id);                                             /* fence of the sleeper */
    MINE(hold);                                               /* look again */
    if
    :: atomic { NF_FENCE(id) && WAITING(id) -> bell[id] = 1 } /* ring */
    :: !WAITING(id)
    fi;
    /* park() */
    do
    :: atomic { NF_FENCE(id) && word[id] != ASLEEP -> break }
    :: atomic { NF_FENCE(id) && word[id] == ASLEEP -> blocked[id] = 1 }
end_futex:
       !blocked[id]
    od;
    goto wait;

hold:
    STORE_WORD(id, AWAKE);
    /* hold_baton() */
again:
    if
    :: atomic { seat[id] != head -> believes[id] = 0; goto wait }
    :: seat[id] == head
    fi;
    if                      /* turn(): one packet, and perhaps all that its budget allows */
    :: atomic { WAITING(id) -> consumed[id] = (consumed[id] + 1) % MOD; takes[id] = 1 };
       atomic { takes[id] = 0;
         if
         :: true -> skip
         :: WAITING(id) -> goto again
         fi }
    :: !WAITING(id)
    fi;
    /* pass() */
    index = INDEX(seat[id]);
    find_next();
    if
    :: slot != NOBODY ->
       if
       :: atomic { NF_FENCE(id) && head == seat[id] ->
                   exchange_head(HEAD(EPOCH(seat[id]), 0, index), entries[LAST(index)]);  /* hand over */
                   believes[id] = (slot == id) }
       :: atomic { NF_FENCE(id) && head != seat[id] ->
                   believes[id] = 0; index = 0; slot = 0; goto wait }                     /* lost */
       fi;
       if
       :: atomic { slot == id -> index = 0; slot = 0; goto again }                        /* kept */
       :: atomic { slot != id -> wake_word(slot) };           /* hint */
          if
          :: asleep -> blocked[slot] = 0                      /* FUTEX_WAKE */
          :: else
          fi;
          atomic { asleep = false; index = 0; slot = 0; goto wait }
       fi
    :: else -> slot = 0; index = 0
    fi;
    /* idle_with_baton() */
    if
    :: WAITING(id) -> goto again
    :: goto again           /* baton.idle is not over yet */
    :: !WAITING(id) ->
       if
       :: atomic { NF_FENCE(id) && head == seat[id] ->
                   exchange_head(HEAD(EPOCH(seat[id]), 1, INDEX(seat[id])), NOBODY);      /* park */
                   believes[id] = 0 }
       :: atomic { NF_FENCE(id) && head != seat[id] -> believes[id] = 0; goto wait }
       fi
    fi;
    index = INDEX(seat[id]);
    find_next();                                              /* look who waits */
    if
    :: slot != NOBODY || WAITING(id) ->
       atomic { slot = 0; index = 0 };
       if
       :: atomic { NF_FENCE(id) && head == seat[id] ->
                   head = HEAD(EPOCH(seat[id]), 0, INDEX(seat[id]));                      /* unpark */
                   seat[id] = head; owner = id; believe(); goto again }
       :: atomic { NF_FENCE(id) && head != seat[id] -> goto wait }
       fi
    :: else -> slot = 0; index = 0; goto wait
    fi
  } unless { killed[id] };
  atomic {
    slot = 0; index = 0; end = 0; asleep = false;
    believes[id] = 0; takes[id] = 0; blocked[id] = 0; seat[id] = 0
  };
end_dead:
  atomic { !killed[id] -> goto begin }                        /* a successor */
}

/* ------------------------------------------------------------------------------------------------
 * The vSwitch's end. All that only it can see is one step. */

#define V_OWNER (PARKED(v_head) -> NOBODY : v_last)
#define V_LENGTH DISTANCE(v_tail, INDEX(v_head))

inline call_ready(n) {
  if
  :: !v_in_ready[n] -> v_in_ready[n] = 1; v_ready!n
  :: else
  fi
}

inline ready_again(n) {
  if
  :: n != NOBODY && v_lives[n] && v_produced[n] != consumed[n] -> call_ready(n)
  :: else
  fi
}

inline take_one() {
  v_last = v_order[INDEX(v_head)];
  v_order[INDEX(v_head)] = NOBODY;
  v_head = HEAD(EPOCH(v_head), PARKED(v_head), NEXT(INDEX(v_head)));
  if
  :: v_last != NOBODY -> v_in_ready[v_last] = 0               /* on_turn */
  :: else
  fi
}

inline look() {
  atomic {
    seen = head;
    if
    :: seen != v_head ->
       assert(EPOCH(seen) == EPOCH(v_head));                  /* sane */
       assert(DISTANCE(INDEX(seen), INDEX(v_head)) <= V_LENGTH);
       before = NOBODY;
       do
       :: INDEX(v_head) == INDEX(seen) -> break
       :: else -> ready_again(before); take_one(); before = v_last
       od;
       v_head = seen;
       if
       :: before != V_OWNER -> ready_again(before)            /* has let go of it */
       :: else
       fi;
       before = 0
    :: else
    fi;
    seen = 0
  }
}

inline skip_dead() {
  first = INDEX(v_head);
  do
  :: first != v_tail && v_order[first] == NOBODY -> first = NEXT(first)
  :: else -> break
  od
}

inline notify() {
  if
  :: woken == NOBODY
  :: else ->
     atomic { VS_FENCE -> wake_word(woken) };
     if
     :: asleep -> blocked[woken] = 0
     :: else
     fi;
     asleep = false
  fi;
  woken = NOBODY
}

/* move_on(): to the first that waits, or parked; then the notice. */
inline move_on(epoch) {
  woken = NOBODY;
  atomic {
    VS_FENCE ->
    skip_dead();
    if
    :: head != v_head       /* it moved meanwhile */
    :: head == v_head ->
       if
       :: first == v_tail -> head = HEAD(epoch, 1, v_tail); owner = NOBODY
       :: else -> head = HEAD(epoch, 0, NEXT(first)); owner = v_order[first]
       fi;
       do
       :: INDEX(v_head) == INDEX(head) -> break
       :: else -> take_one()
       od;
       v_head = head;
       woken = V_OWNER
    fi;
    first = 0
  };
  notify()
}

/* From the private FIFO to the queue that holders see. */
inline fill() {
  do
  :: atomic { len(v_ready) != 0 && V_LENGTH < QUEUE_MAX ->
       v_ready?n;
       if
       :: n == V_OWNER || !v_lives[n] ->                      /* it looks again before it sleeps */
          v_in_ready[n] = 0
       :: else ->
          v_order[v_tail] = n;
          STORE_ENTRY(v_tail, n);
          v_tail = NEXT(v_tail);
          pushed = true
       fi;
       n = 0
     }
  :: else -> break
  od;
  if
  :: pushed -> STORE_TAIL(v_tail)                             /* publish */
  :: else
  fi
}

/* on_deaths() and leave_queue(). Whatever it stored has reached memory by then. What it had not
 * read is sent again. */
inline bury(n) {
  look();
  atomic {
    v_lives[n] = 0;
    packets = packets + (PACKETS -> UNREAD(v_produced[n], consumed[n]) : 0);
    first = INDEX(v_head);
    do
    :: first == v_tail -> break
    :: else ->
       if
       :: v_order[first] == n ->
          v_order[first] = NOBODY;
          STORE_ENTRY(first, NOBODY);                         /* tombstone */
          v_in_ready[n] = 0
       :: else
       fi;
       first = NEXT(first)
    od;
    first = 0
  };
  if
  :: V_OWNER == n -> move_on(EPOCH(v_head) + 1)               /* of the dead */
  :: else
  fi
}

inline give_birth(n) {
  atomic {
    VS_FENCE ->
    v_produced[n] = 0; produced[n] = 0; consumed[n] = 0; word[n] = AWAKE; bell[n] = 0;
    v_lives[n] = 1; killed[n] = 0
  }
}

inline send(n) {
  atomic {
    v_produced[n] = (v_produced[n] + 1) % MOD;
    packets = (PACKETS -> packets - 1 : 0);
    STORE_PRODUCED(n, v_produced[n]);
    call_ready(n)
  }
}

#define MORE (packets != 0 || PACKETS == 0)
#define ROOM(n) (MORE && v_lives[n] && UNREAD(v_produced[n], consumed[n]) < RING)
#define REPORTED(n) (killed[n] && word_store[n] == NONE)
#define NEEDS_NUDGE \
  (NUDGE && V_OWNER != NOBODY && v_lives[V_OWNER] && head == v_head && word[V_OWNER] == ASLEEP)
#define ORPHANED (!PARKED(v_head) && (v_last == NOBODY || !v_lives[v_last]))
#if NFS == 2
#define ANY(p) (p(0) || p(1))
#else
#define ANY(p) (p(0) || p(1) || p(2))
#endif
#define RINGS(n) (bell[n])

inline answer_bell(n) {
  if
  :: bell[n] ->
     bell[n] = 0;
     if
     :: !v_in_ready[n] -> ready_again(n)
     :: else
     fi
  :: else
  fi
}

proctype Vswitch() {
  byte seen, before, first, n, woken = NOBODY;
  bool pushed, asleep;
end_quiet:
  do
  :: ANY(REPORTED) || ANY(ROOM) || ANY(RINGS) || len(v_ready) != 0 || head != v_head ||
     (PARKED(v_head) && V_LENGTH != 0) || NEEDS_NUDGE || ORPHANED ->
     if                     /* commands */
     :: REPORTED(0) && v_lives[0] -> bury(0)
     :: REPORTED(1) && v_lives[1] -> bury(1)
#if NFS == 3
     :: REPORTED(2) && v_lives[2] -> bury(2)
#endif
     :: REPORTED(0) && !v_lives[0] -> give_birth(0)
     :: REPORTED(1) && !v_lives[1] -> give_birth(1)
#if NFS == 3
     :: REPORTED(2) && !v_lives[2] -> give_birth(2)
#endif
     :: atomic { revocations != 0 && V_OWNER != NOBODY -> revocations-- };
        look();
        move_on(EPOCH(v_head) + 1)                            /* revoke */
     :: !ANY(REPORTED)
     fi;
     if                     /* receive and publish */
     :: ROOM(0) -> send(0)
     :: ROOM(1) -> send(1)
#if NFS == 3
     :: ROOM(2) -> send(2)
#endif
     :: true
     fi;
     atomic {               /* collect */
       answer_bell(0);
       answer_bell(1);
#if NFS == 3
       answer_bell(2)
#endif
     };
     VS_FENCE;                                                /* fence before the head */
     look();
     fill();
     if
     :: pushed ->
        VS_FENCE;                                             /* fence behind the tail */
        look()
     :: else
     fi;
     if
     :: PARKED(v_head) && V_LENGTH != 0 -> move_on(EPOCH(v_head))                         /* grant */
     :: ORPHANED -> move_on(EPOCH(v_head) + 1)
     :: NEEDS_NUDGE -> woken = V_OWNER; notify()              /* nudge */
     :: else
     fi;
     pushed = false
  od
}

proctype Killer() {
  do
  :: atomic { kills != 0 && !killed[0] -> kills--; killed[0] = 1 }
  :: atomic { kills != 0 && !killed[1] -> kills--; killed[1] = 1 }
#if NFS == 3
  :: atomic { kills != 0 && !killed[2] -> kills--; killed[2] = 1 }
#endif
  :: break
  od
}

/* Nothing moves any more. */
proctype Rest() {
  timeout;
  assert(!ANY(WAITING));                                      /* at rest */
  assert(!MORE)
}

init {
  atomic {
#if TSO
    run Drain();
#endif
    run Nf(0);
    run Nf(1);
#if NFS == 3
    run Nf(2);
#endif
    run Vswitch();
    run Killer();
#if PACKETS
    run Rest()
#endif
  }
}
