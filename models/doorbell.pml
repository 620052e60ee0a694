/* The doorbells of runtime/abi/wake.h: how the vSwitch finds the NFs with output, with NFs that are
 * killed at any instruction and whose slots go to a successor.
 *
 *   NF                                vSwitch
 *   publish output                    take and clear the summary word  (exchange)
 *   set own bit      (fetch_or)       for each set bit: take and clear its doorbell word
 *   set summary bit  (fetch_or)       for each set bit: read that NF's output
 *
 * Three NFs; 0 and 1 share a doorbell word, 2 has another. A killer ends NFs between any two steps;
 * the zygote's report makes the vSwitch drain that NF's ring, and the slot is used again. Both
 * read-modify-writes are locked instructions: on x86 the plain store of the output index before
 * them cannot be delayed past them, so no store buffers are needed here.
 *
 * Checked:
 *   none_forgotten  safety: when the summary is empty and the vSwitch between two turns, no living
 *                   NF that has finished ringing has output unread
 *   collected       liveness: output is read, also that of an NF killed between the two bits
 *   neighbour       liveness: ... and a death beside it does not hold up an NF of the same word
 */
#define NFS 3
#define OUTPUT_MAX 1        /* unread outputs an NF may have */
#define MOD 2
#define WORD_OF(i) (i / 2)
#define BIT_OF(i) (1 << (i % 2))
#ifndef KILLS
#define KILLS 1
#endif

byte published[NFS], taken[NFS];   /* output ring indices */
byte words[2], summary;

bool killed[NFS];                  /* will not take another step */
bool reported[NFS];                /* the zygote's report waits for the vSwitch */
bool ringing[NFS];                 /* between publishing and the second bit */
bool vs_idle = true;

#define UNREAD(i) (published[i] != taken[i])
#define FORGOTTEN(i) (UNREAD(i) && !ringing[i] && !killed[i])

ltl none_forgotten { [] !(vs_idle && summary == 0 && (FORGOTTEN(0) || FORGOTTEN(1) || FORGOTTEN(2))) }
ltl collected { [] (UNREAD(0) -> <> !UNREAD(0)) }
ltl neighbour { [] (UNREAD(1) -> <> !UNREAD(1)) }

inline ring_doorbell() {
  atomic { words[WORD_OF(id)] = words[WORD_OF(id)] | BIT_OF(id) };   /* fetch_or 1 */
  atomic { summary = summary | (1 << WORD_OF(id)); ringing[id] = false }   /* fetch_or 2 */
}

proctype Nf(byte id) {
born:
  {
    do
    :: atomic {
         (published[id] + MOD - taken[id]) % MOD < OUTPUT_MAX -> ringing[id] = true
       };
       published[id] = (published[id] + 1) % MOD;                    /* publish */
       ring_doorbell()
    od
  } unless { killed[id] };
  atomic { ringing[id] = false; reported[id] = true };   /* its zygote saw it die */
end_dead:
  !killed[id];
  goto born
}

proctype Killer() {
  byte left = KILLS;
  do
  :: left > 0 ->
     left--;
     if
     :: !killed[0] && !reported[0] -> killed[0] = true
     :: !killed[1] && !reported[1] -> killed[1] = true
     :: skip
     fi
  :: left == 0 -> break
  od
}

inline take_word(w) {
  if
  :: found & (1 << w) ->
     atomic { bits = words[w]; words[w] = 0 };                       /* exchange 2 */
     if
     :: bits & 1 -> taken[2 * w] = published[2 * w]                  /* read output */
     :: else
     fi;
     if
     :: bits & 2 -> taken[2 * w + 1] = published[2 * w + 1]
     :: else
     fi
  :: else
  fi
}

inline bury(i) {
  if
  :: reported[i] ->
     reported[i] = false;
     taken[i] = published[i];                                        /* drain */
     killed[i] = false                                               /* a successor starts */
  :: else
  fi
}

proctype Vswitch() {
  byte found, bits;
end_idle:
  do
  :: atomic { summary != 0 || reported[0] || reported[1] -> vs_idle = false };
     atomic { found = summary; summary = 0 };                        /* exchange 1 */
     take_word(0);
     take_word(1);
     bury(0);
     bury(1);
     atomic { found = 0; bits = 0; vs_idle = true }
  od
}

init {
  atomic {
    run Nf(0);
    run Nf(1);
    run Nf(2);
    run Killer();
    run Vswitch()
  }
}
