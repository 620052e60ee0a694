/* The baton of one NF core: runtime/abi/baton.h, with the NF's end (nfpool/nf_baton.cc,
 * scheduler/baton_seat.cc) and the vSwitch's (runtime/vswitch/baton.cc, scheduler/baton_queue.h), on
 * a machine with x86-TSO memory (wake.pml says how store buffers are modelled). One core, NFS slots;
 * a watchdog may take the baton away at any moment, a killer may end an NF between any two of its
 * steps; a successor then gets its slot.
 *
 * A locked instruction (compare-and-swap, exchange, fetch_or) is one atomic step that waits for the
 * own store buffer; every other access to memory is a step of its own, unless nobody could tell.
 * The head is packed into one byte, as it is packed into one word.
 *
 * What keeps the state space small: NFs begin asleep (their way there is that of every later sleep,
 * and of a successor); what only one side can see is one step; epochs and indices are as few as the
 * packets need; a kill always comes, because what happens without it is checked without it.
 * Settings too large for every test run, which hold too: PACKETS 3 with KILLS 1, PACKETS 2 with KILLS
 * 2, and NFS 3 with PACKETS 2 and KILLS 1 (TSO 0, NUDGE 1; 18 to 25 million states).
 *
 * Left out: batch and ageing (every packet calls its NF ready), the bell that an NF rings for its
 * output (it would only add wakes), memory that somebody scribbles over (tests do that).
 *
 * Checked:
 *   one_holder  (assert)  never do two NFs believe that they hold one and the same live head
 *   no_late_act (assert)  whoever changes the head owned it: a revoked holder hands nothing over
 *   sane        (assert)  the vSwitch never finds the head where it cannot be
 *   at rest     (assert)  when nothing moves any more, no packet waits: no wake was lost, no baton
 *                         lies with one who sleeps, or is dead, while somebody has work
 *   served      (ltl)     with endless traffic, an NF that has packets takes one, or is killed
 *
 * Parameters: NFS 2 or 3; PACKETS that are sent (0: endless); RING, packets an NF may have; ENTRIES
 * of the queue; KILLS and REVOCATIONS that may happen; TSO 0: memory is sequential; NUDGE 0: the
 * vSwitch never mends a hand-over that was cut short, which is not needed unless somebody is killed;
 * LTL 1: for `served`, and a budget of one packet.
 */
#ifndef NFS
#define NFS 2
#endif
#ifndef PACKETS
#define PACKETS 3
#endif
#ifndef ENTRIES
#define ENTRIES 3
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
#ifndef LTL
#define LTL 0
#endif

#define QUEUE_MAX (ENTRIES - 2)       /* BatonQueue::full() */
#define NOBODY 7

#define HEAD(epoch, parked, index) ((epoch) * 2 * ENTRIES + (parked) * ENTRIES + (index))
#define EPOCH(h) ((h) / (2 * ENTRIES))
#define PARKED(h) ((h) / ENTRIES % 2)
#define INDEX(h) ((h) % ENTRIES)
#define NEXT(i) (((i) + 1) % ENTRIES)
#define LAST(i) (((i) + ENTRIES - 1) % ENTRIES)
#define DISTANCE(ahead, behind) (((ahead) + ENTRIES - (behind)) % ENTRIES)

#define AWAKE 0
#define ASLEEP 1
#define NONE 2

mtype = { PUBLISHED, ENTRY, TAIL };

/* Memory. */
byte head = HEAD(1, 1, 0), tail, entries[ENTRIES] = NOBODY;
byte ring[NFS];             /* packets that the NF can see in its ring */
byte word[NFS] = ASLEEP;
bit bell[NFS];
bit blocked[NFS];           /* in the kernel's futex queue */

/* Store buffers: of each NF (the word is all that it stores plainly and is looked at for), and of
 * the vSwitch. */
byte word_store[NFS] = NONE;
chan vs_stores = [4] of { mtype, byte, byte };
#if TSO
#define NF_FENCE (word_store[id] == NONE)
#define VS_FENCE (len(vs_stores) == 0)
#define STORE_WORD(v) atomic { word_store[id] == NONE -> word_store[id] = v }
#define STORE_PUBLISHED(n) vs_stores!PUBLISHED, n, 0
#define STORE_ENTRY(i, v) vs_stores!ENTRY, i, v
#define STORE_TAIL(v) vs_stores!TAIL, 0, v
#else
#define NF_FENCE true
#define VS_FENCE true
#define STORE_WORD(v) word[id] = v
#define STORE_PUBLISHED(n) ring[n]++
#define STORE_ENTRY(i, v) entries[i] = v
#define STORE_TAIL(v) tail = v
#endif

/* The NFs' own: BatonSeat::head_ (0: none), and whether it takes itself for the holder. */
byte seat[NFS];
bit believes[NFS];

/* Has the head stayed as NF `n` saw it? Tags of 63 bits do not come back; with endless traffic those
 * of the model would, and whether the head has changed is noted instead. */
#if PACKETS
#define SAME(n) (seat[n] == head)
#define SET_HEAD(h) head = h
#define SEE_HEAD(n) seat[n] = head
#define NEW_EPOCH (EPOCH(v_head) + 1)
#else
bit moved[NFS];
#define SAME(n) (!moved[n])
#if NFS == 2
#define SET_HEAD(h) head = h; moved[0] = 1; moved[1] = 1
#else
#define SET_HEAD(h) head = h; moved[0] = 1; moved[1] = 1; moved[2] = 1
#endif
#define SEE_HEAD(n) seat[n] = head; moved[n] = 0
#define NEW_EPOCH 1
#endif
#define HOLDS(n) (believes[n] && SAME(n))

/* The vSwitch's own. */
byte v_head = HEAD(1, 1, 0), v_tail, v_last = NOBODY, v_order[ENTRIES] = NOBODY;
byte v_unread[NFS];         /* what it has produced, less what the NF has consumed */
bit v_in_ready[NFS];
bit v_lives[NFS] = 1;
bool v_nudged;              /* since the head moved */
chan v_ready = [NFS] of { byte };     /* the private FIFO */

/* The world's. */
byte packets = PACKETS, kills = KILLS, revocations = REVOCATIONS;
byte backlog[NFS];          /* of a dead NF, for its successor */
bit killed[NFS];
byte owner = NOBODY;        /* by the rules of abi/baton.h */

#define WAITING(n) (ring[n] != 0)
#if NFS == 2
#define ANY(p) (p(0) || p(1))
#define NOT_HELD_BUT_BY(n) (!HOLDS(1 - n))
#else
#define ANY(p) (p(0) || p(1) || p(2))
#define NOT_HELD_BUT_BY(n) (!HOLDS((n + 1) % 3) && !HOLDS((n + 2) % 3))
#endif

/* Has the budget been used up? Any may be; but `served` needs one that ends: one packet. */
#if LTL
bit takes[NFS];
#define TAKES(b) takes[id] = b
#define SPENT true
ltl served { [] (WAITING(0) -> <> (takes[0] || killed[0])) }
#else
#define TAKES(b) skip
#define SPENT false
#endif

/* The way of stores to memory. */
proctype Drain() {
  mtype what;
  byte at, value;
end:
  do
  :: atomic {
       vs_stores?what, at, value ->
       if
       :: what == PUBLISHED -> ring[at]++
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

/* Exchange of the word, and system call if it was ASLEEP: two steps where somebody may be killed
 * between them. */
#if KILLS
#define THEN_CALL } ; atomic {
#else
#define THEN_CALL ;
#endif

inline wake_word(n) {
  if
  :: word[n] == ASLEEP -> word[n] = AWAKE; asleep = true
  :: else
  fi
}

inline call(n) {
  if
  :: asleep -> blocked[n] = 0; asleep = false                 /* FUTEX_WAKE */
  :: else
  fi
}

/* ------------------------------------------------------------------------------------------------
 * The NF's end. */

inline believe() {
  believes[id] = 1;
  assert(NOT_HELD_BUT_BY(id))                                 /* one_holder */
}

/* BatonSeat::mine(): goes to `yes`, or on. */
#define MINE(yes) \
  atomic { SEE_HEAD(id) }; \
  atomic { \
    if \
    :: !PARKED(seat[id]) && entries[LAST(INDEX(seat[id]))] == id && SAME(id) -> believe(); goto yes \
    :: else -> seat[id] = 0 \
    fi \
  }

/* BatonSeat::next(): the first that waits, or NOBODY; `index` behind it. What a holder can be wrong
 * about is what happens afterwards, so it is one step. */
inline find_next() {
  index = INDEX(seat[id]);
  do
  :: index == tail || slot != NOBODY -> break
  :: else -> slot = entries[index]; index = NEXT(index)
  od
}

/* BatonSeat::exchange(), where it succeeds. */
inline exchange_head(to, who) {
  assert(owner == id);                                        /* no_late_act */
  owner = who;
  SET_HEAD(to);
  SEE_HEAD(id)
}

inline lose() {
  believes[id] = 0;
  seat[id] = 0;
  slot = NOBODY;
  index = 0
}

proctype Nf(byte id) {
  byte slot = NOBODY, index;
  bool asleep;
begin:
  {
    goto parked;
wait:                       /* has_baton() */
    MINE(hold);
    STORE_WORD(ASLEEP);                                       /* asleep */
    NF_FENCE;                                                 /* fence of the sleeper */
    MINE(hold);                                               /* look again */
    if
    :: atomic { NF_FENCE && WAITING(id) -> bell[id] = 1 }     /* ring */
    :: !WAITING(id)
    fi;
parked:                     /* park() */
    do
    :: atomic { NF_FENCE && word[id] != ASLEEP -> goto wait }
    :: atomic { NF_FENCE && word[id] == ASLEEP -> blocked[id] = 1 }
end_futex:
       !blocked[id]
    od;

hold:
    STORE_WORD(AWAKE);
    /* hold_baton() */
again:
    if                      /* still_mine(), turn(): packets one by one, up to its budget */
    :: atomic { !SAME(id) -> lose(); goto wait }
    :: atomic { WAITING(id) -> ring[id]--; v_unread[id]--; TAKES(1) };
       atomic {
         TAKES(0);
         if
         :: WAITING(id) && !SPENT -> goto again
         :: true
         fi
       }
    :: !WAITING(id)
    fi;
    /* pass() */
    atomic {
      find_next();
      if
      :: slot == NOBODY -> index = 0; goto idle
      :: else
      fi
    };
    if
    :: atomic {
         NF_FENCE && SAME(id) ->
         exchange_head(HEAD(EPOCH(seat[id]), 0, index), entries[LAST(index)]);            /* hand over */
         index = 0;
         if
         :: slot == id -> slot = NOBODY; goto again                                       /* kept */
         :: else -> believes[id] = 0; seat[id] = 0
         fi
       }
    :: atomic { NF_FENCE && !SAME(id) -> lose(); goto wait }
    fi;
    atomic {
      wake_word(slot)                                         /* hint */
      THEN_CALL
      call(slot);
      slot = NOBODY;
      goto wait
    };

idle:                       /* idle_with_baton() */
    if
    :: goto again           /* baton.idle is not over yet */
    :: atomic { NF_FENCE && SAME(id) ->
                exchange_head(HEAD(EPOCH(seat[id]), 1, INDEX(seat[id])), NOBODY);         /* park */
                believes[id] = 0 }
    :: atomic { NF_FENCE && !SAME(id) -> lose(); goto wait }
    fi;
    atomic {
      find_next();                                            /* look who waits */
      index = 0;
      if
      :: slot == NOBODY && !WAITING(id) -> lose(); goto wait
      :: else -> slot = NOBODY
      fi
    };
    if
    :: atomic { NF_FENCE && SAME(id) ->
                SET_HEAD(HEAD(EPOCH(seat[id]), 0, INDEX(seat[id])));                      /* unpark */
                SEE_HEAD(id);
                owner = id;
                believe();
                goto again }
    :: atomic { NF_FENCE && !SAME(id) -> lose(); goto wait }
    fi
  } unless { atomic { killed[id] -> lose(); asleep = false; TAKES(0); blocked[id] = 0 } };
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
  :: n != NOBODY && v_lives[n] && v_unread[n] != 0 -> call_ready(n)
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
  seen = head;
  if
  :: seen != v_head ->
     assert(EPOCH(seen) == EPOCH(v_head));                    /* sane */
     assert(DISTANCE(INDEX(seen), INDEX(v_head)) <= V_LENGTH);
     before = NOBODY;
     do
     :: INDEX(v_head) == INDEX(seen) -> break
     :: else -> ready_again(before); take_one(); before = v_last
     od;
     v_head = seen;
     if
     :: before != V_OWNER -> ready_again(before)              /* has let go of it */
     :: else
     fi;
     v_nudged = false;
     before = 0
  :: else
  fi;
  seen = 0
}

inline skip_dead() {
  first = INDEX(v_head);
  do
  :: first != v_tail && v_order[first] == NOBODY -> first = NEXT(first)
  :: else -> break
  od
}

/* move_on(): to the first that waits, or parked; then the notice. */
inline move_on() {
  atomic {
    VS_FENCE ->
    skip_dead();
    if
    :: head != v_head       /* it moved meanwhile */
    :: head == v_head ->
       assert(NEW_EPOCH < 256 / (2 * ENTRIES));               /* else the model is too small */
       if
       :: first == v_tail -> SET_HEAD(HEAD(NEW_EPOCH, 1, v_tail)); owner = NOBODY
       :: else -> SET_HEAD(HEAD(NEW_EPOCH, 0, NEXT(first))); owner = v_order[first]
       fi;
       do
       :: INDEX(v_head) == INDEX(head) -> break
       :: else -> take_one()
       od;
       v_head = head;
       v_nudged = false;
       woken = V_OWNER
    fi;
    first = 0
  };
  if
  :: woken == NOBODY
  :: else ->
     atomic {
       wake_word(woken)                                       /* notify */
       THEN_CALL
       call(woken);
       woken = NOBODY
     }
  fi
}

/* Once to each owner, whether its word says that it sleeps or not: killed may have been who was to
 * wake it, between word and system call. */
inline nudge() {
  atomic { VS_FENCE -> woken = V_OWNER; v_nudged = true; wake_word(woken); asleep = false };
  atomic { blocked[woken] = 0; woken = NOBODY }
}

/* From the private FIFO to the queue that holders see. */
inline fill() {
  do
  :: len(v_ready) != 0 && V_LENGTH < QUEUE_MAX ->
     v_ready?n;
     if
     :: n == V_OWNER || !v_lives[n] ->                        /* it looks again before it sleeps */
        v_in_ready[n] = 0
     :: else ->
        v_order[v_tail] = n;
        STORE_ENTRY(v_tail, n);
        v_tail = NEXT(v_tail);
        pushed = true
     fi;
     n = 0
  :: else -> break
  od;
  if
  :: pushed -> STORE_TAIL(v_tail)                             /* publish */
  :: else
  fi
}

/* on_deaths() and leave_queue(). Whatever it stored has reached memory by then. What it had not
 * read is sent again. */
inline bury(dead) {
  look();
  v_lives[dead] = 0;
  backlog[dead] = backlog[dead] + v_unread[dead];
  v_unread[dead] = 0;
  ring[dead] = 0;
  first = INDEX(v_head);
  do
  :: first == v_tail -> break
  :: else ->
     if
     :: v_order[first] == dead ->
        v_order[first] = NOBODY;
        STORE_ENTRY(first, NOBODY);                           /* tombstone */
        v_in_ready[dead] = 0
     :: else
     fi;
     first = NEXT(first)
  od;
  first = 0
}

inline give_birth(n) {
  word[n] = AWAKE;
  bell[n] = 0;
  v_lives[n] = 1;
  killed[n] = 0
}

inline send(n) {
  v_unread[n]++;
  if
  :: backlog[n] != 0 -> backlog[n]--
  :: else -> packets = (PACKETS -> packets - 1 : 0)
  fi;
  STORE_PUBLISHED(n);
  call_ready(n)
}

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

#define TRAFFIC (PACKETS == 0 || packets != 0)
#define ROOM(n) ((TRAFFIC || backlog[n]) && v_lives[n] && v_unread[n] < RING)
#define DIED(n) (killed[n] && v_lives[n] && word_store[n] == NONE)
#define REBORN(n) (killed[n] && !v_lives[n])
#define RINGS(n) (bell[n])
#define KEPT_BACK(n) (backlog[n] != 0)
#define ORPHANED (!PARKED(v_head) && (v_last == NOBODY || !v_lives[v_last]))
#define TO_GRANT (PARKED(v_head) && V_LENGTH != 0)
#define TO_NUDGE \
  (NUDGE && !v_nudged && V_OWNER != NOBODY && v_lives[V_OWNER] && head == v_head)

proctype Vswitch() {
  byte seen, before, first, n, woken = NOBODY;
  bool pushed, asleep;
end_quiet:
  do
  /* Commands. */
  :: atomic { VS_FENCE && DIED(0) -> bury(0) }
  :: atomic { VS_FENCE && DIED(1) -> bury(1) }
  :: atomic { VS_FENCE && REBORN(0) && !ORPHANED -> give_birth(0) }
  :: atomic { VS_FENCE && REBORN(1) && !ORPHANED -> give_birth(1) }
#if NFS == 3
  :: atomic { VS_FENCE && DIED(2) -> bury(2) }
  :: atomic { VS_FENCE && REBORN(2) && !ORPHANED -> give_birth(2) }
#endif
  :: atomic { revocations != 0 && V_OWNER != NOBODY -> revocations--; look() };
     if
     :: NUDGE && !v_nudged && V_OWNER != NOBODY && v_lives[V_OWNER] -> nudge()
     :: else
     fi;
     move_on()                                                /* revoke */
  /* A turn. */
  :: atomic {
       ANY(ROOM) || ANY(RINGS) || len(v_ready) != 0 || head != v_head || TO_GRANT || TO_NUDGE ||
       ORPHANED ->
       if                   /* receive and publish */
       :: ROOM(0) -> send(0)
       :: ROOM(1) -> send(1)
#if NFS == 3
       :: ROOM(2) -> send(2)
#endif
       :: true
       fi;
       answer_bell(0);      /* collect */
       answer_bell(1);
#if NFS == 3
       answer_bell(2);
#endif
       skip
     };
     atomic {
       VS_FENCE ->                                            /* fence before the head */
       look();
       fill();
       if
       :: !pushed -> goto deal
       :: else -> pushed = false
       fi
     };
     atomic {
       VS_FENCE ->                                            /* fence behind the tail */
       look()
     };
deal:
     if
     :: TO_GRANT -> move_on()                                 /* grant */
     :: ORPHANED -> move_on()                                 /* of the dead */
     :: TO_NUDGE -> nudge()
     :: else
     fi
  od
}

#if KILLS
/* It kills at the latest when all is at rest: what happens without it is what KILLS 0 checks. */
proctype Killer() {
end_spent:
  do
  :: atomic { kills != 0 && !killed[0] -> kills--; killed[0] = 1 }
  :: atomic { kills != 0 && !killed[1] -> kills--; killed[1] = 1 }
#if NFS == 3
  :: atomic { kills != 0 && !killed[2] -> kills--; killed[2] = 1 }
#endif
  od
}
#endif

/* Nothing moves any more. */
proctype Rest() {
  timeout;
  assert(!ANY(WAITING) && !ANY(KEPT_BACK))                    /* at rest */
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
#if KILLS
    run Killer();
#endif
    run Rest()
  }
}
