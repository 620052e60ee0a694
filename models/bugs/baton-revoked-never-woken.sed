# An owner that was never woken is revoked without being woken: it does not come to see that its packets wait.
# define: -DPACKETS=2 -DTSO=0 -DKILLS=1 -DREVOCATIONS=1 -DNUDGE=1
s~:: NUDGE \&\& !v_nudged \&\& V_OWNER != NOBODY \&\& v_lives\[V_OWNER\] -> nudge\(\)~:: false -> skip~
