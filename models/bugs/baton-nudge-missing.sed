# A hand-over that was cut short by a kill is not mended.
# define: -DPACKETS=2 -DTSO=0 -DKILLS=1 -DNUDGE=1
s~\(NUDGE \&\&~(false \&\&~
