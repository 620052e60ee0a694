# An owner is woken once more only if somebody else waits: nobody may.
# define: -DPACKETS=2 -DTSO=0 -DKILLS=1 -DNUDGE=1
s~NUDGE \&\& !v_nudged~V_LENGTH != 0 \&\& NUDGE \&\& !v_nudged~
