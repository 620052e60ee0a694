# A baton that was handed to one who had just died lies there.
# define: -DPACKETS=2 -DTSO=0 -DKILLS=1 -DNUDGE=1
s~\(v_last == NOBODY \|\| !v_lives\[v_last\]\)~false~
