/* The ring of runtime/abi/shared_ring.h: many NFs fill it by compare-and-swap, the vSwitch empties
 * it, and NFs are killed, or stopped for ever, before any step.
 *
 *   producer                                     consumer
 *     p = tail hint                                entry[head] is empty(lap)? nothing has come
 *     compare-and-swap entry[p]:                   it is full(lap, slot): read it, once
 *       empty(lap of p) -> full(lap of p, slot)    descriptor = 0, then state = empty(lap + 1)
 *     it was full already: p + 1, or the hint,     head + 1
 *       whichever is further, again
 *     at the end of a burst: raise the hint to p
 *
 * Two producers, a ring of two entries: full, and lapped, all the time. Each life of a producer has
 * SENDS packets, in bursts of any length. A killer ends one at any step; the zygote's report makes
 * the vSwitch drain the ring, and a successor starts in the same slot. One may also be stopped and
 * never go on. The consumer's two stores are plain ones: they go through a store buffer (x86-TSO; see
 * wake.pml). All else that is written is written by locked instructions. There are fewer laps here
 * than the lap has values, so positions are plain numbers. A loop that raises the hint by
 * compare-and-swap is one step: what it may see in between changes nothing but how often it tries.
 *
 * Checked:
 *   assertions   an entry is taken whole, once, in the order of its producer (taking numbers 0, 1,
 *                2, ...: nothing lost or doubled), and in the life of its slot that wrote it; when
 *                a slot is used again all that its former process gave back has been taken
 *   got_through  liveness: whoever is not stopped gives all of its packets back, and all that was
 *                given back is taken, also that of the stopped: nobody holds up anybody
 */
#ifndef SENDS
#define SENDS 2
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef STOPS
#define STOPS 1
#endif
#define SIZE 2

/* The words of an entry. */
#define EMPTY(lap) ((lap) * 4)
#define FULL(lap, slot) ((lap) * 4 + 2 + (slot))
#define LAP(state) ((state) / 4)
#define IS_FULL(state) (((state) / 2) % 2)
#define SLOT(state) ((state) % 2)
#define PACKET(life, number) (1 + (life) * SENDS + (number))   /* a descriptor; 0: none */

byte descriptor[SIZE], state[SIZE];
byte tail;                         /* the hint */

mtype = { DESCRIPTOR, STATE };
chan stores = [2] of { mtype, byte, byte };   /* the vSwitch's store buffer */

bool killed[2], stopped[2], reported[2];
byte life[2];                      /* of the slot: which process it has */

/* For the properties alone: */
byte pushed[2], taken[2];          /* by this life */

#define THROUGH(i) ((pushed[i] == SENDS || stopped[i]) && pushed[i] == taken[i])

ltl got_through { <> [] (THROUGH(0) && THROUGH(1)) }

/* The store buffer's way to memory. */
proctype Drain() {
  mtype what;
  byte entry, value;
end:
  do
  :: atomic {
       stores?what, entry, value ->
       if
       :: what == DESCRIPTOR -> descriptor[entry] = value
       :: what == STATE -> state[entry] = value
       fi
     }
  od
}

#define HERE (at % SIZE)
#define HERE_LAP (at / SIZE)

inline fill() {
  descriptor[HERE] = PACKET(life[id], pushed[id]);
  state[HERE] = FULL(HERE_LAP, id);
  pushed[id] = pushed[id] + 1;
  at++
}

/* The entry was not as expected: s is its state. */
inline step_over() {
  if
  :: LAP(s) < HERE_LAP -> in_burst = false                    /* the ring is full: again later */
  :: LAP(s) >= HERE_LAP && IS_FULL(s) ->
     at = LAP(s) * SIZE + HERE + 1                            /* over a full one */
  :: LAP(s) > HERE_LAP && !IS_FULL(s) ->
     at = (LAP(s) - 1) * SIZE + HERE + 1                      /* over one that was emptied */
  :: s == EMPTY(HERE_LAP) -> in_burst = false
  fi;
  s = 0
}

proctype Nf(bit id) {
  byte at, d, s;
  bool in_burst;
born:
  {
    skip;
next:
    if
    :: atomic { pushed[id] == SENDS -> at = 0 };
end_all_sent:
       false
    :: atomic { pushed[id] < SENDS && !in_burst -> at = tail; in_burst = true }    /* begin */
    :: atomic { pushed[id] < SENDS && in_burst }
    fi;
    atomic {                                                  /* cmpxchg16b */
      if
      :: state[HERE] == EMPTY(HERE_LAP) && descriptor[HERE] == 0 -> fill(); goto filled
      :: state[HERE] == EMPTY(HERE_LAP) && descriptor[HERE] != 0 -> d = descriptor[HERE]
      :: else -> s = state[HERE]; step_over(); goto behind
      fi
    };
    atomic {                                                  /* scribbled: as it is, then */
      if
      :: state[HERE] == EMPTY(HERE_LAP) && descriptor[HERE] == d -> d = 0; fill()
      :: else -> d = 0; s = state[HERE]; step_over(); goto behind
      fi
    };
filled:
    if
    :: atomic { pushed[id] < SENDS -> goto next }             /* the burst goes on */
    :: atomic { tail = (tail < at -> at : tail); in_burst = false; goto next }    /* publish */
    fi;
behind:
    atomic { at = (tail > at -> tail : at); goto next }       /* ... or where the hint is */
  } unless { killed[id] || stopped[id] };
end_stopped:
  atomic { killed[id] -> at = 0; d = 0; s = 0; in_burst = false; reported[id] = true };
end_dead:
  !killed[id];
  goto born
}

proctype Killer() {
  byte kills = KILLS, stops = STOPS;
  do
  :: atomic { kills > 0 && !stopped[0] && !reported[0] -> kills--; killed[0] = true }
  :: atomic { stops > 0 && !killed[1] -> stops--; stopped[1] = true }
  :: break
  od
}

#define SEEN state[head % SIZE]

/* One entry, which is not empty(lap): s is its state. */
inline take() {
  d = descriptor[head % SIZE];                                /* read */
  stores!DESCRIPTOR, head % SIZE, 0;                          /* clear */
  atomic {
    stores!STATE, head % SIZE, EMPTY(head / SIZE + 1);        /* free */
    assert(IS_FULL(s) && LAP(s) == head / SIZE);
    assert(d == PACKET(life[SLOT(s)], taken[SLOT(s)]));
    taken[SLOT(s)] = taken[SLOT(s)] + 1;
    head++;
    d = 0;
    s = 0
  }
}

inline drain() {
  passed = 0;
  do
  :: atomic { passed < SIZE && SEEN != EMPTY(head / SIZE) -> s = SEEN }; take(); passed++
  :: else -> break
  od;
  passed = 0
}

inline bury(i) {
  if
  :: reported[i] ->
     drain();
     assert(pushed[i] == taken[i]);
     atomic {                                                 /* a successor starts */
       life[i] = life[i] + 1; pushed[i] = 0; taken[i] = 0;
       reported[i] = false; killed[i] = false
     }
  :: else
  fi
}

proctype Vswitch() {
  byte head, d, s, passed;
end_idle:
  do
  :: atomic { SEEN != EMPTY(head / SIZE) -> s = SEEN }; take()
  :: reported[0] || reported[1] -> bury(0); bury(1)
  od
}

init {
  atomic {
    run Drain();
    run Nf(0);
    run Nf(1);
    run Killer();
    run Vswitch()
  }
}
