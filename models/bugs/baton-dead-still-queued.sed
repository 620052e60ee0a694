# Who died while it waited is crossed out, but still counts as queued: its successor is never called.
# define: -DPACKETS=2 -DTSO=0 -DKILLS=1 -DNUDGE=1
s~^        v_in_ready\[dead\] = 0$~        skip~
