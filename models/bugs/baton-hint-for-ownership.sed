# Whoever is woken takes the baton for its own.
# define: -DPACKETS=3 -DTSO=0
s~word\[id\] != ASLEEP -> goto wait~word[id] != ASLEEP -> SEE_HEAD(id); believe(); goto hold~
