# The holder wakes the next before it has given him the baton.
# define: -DPACKETS=3 -DTSO=0
s~wake_word\(slot\)( +/\* hint \*/)~skip\1~
s~^    /\* pass\(\) \*/$~    atomic { find_next(); if :: slot != NOBODY -> wake_word(slot); call(slot) :: else fi; slot = NOBODY; index = 0 };~
