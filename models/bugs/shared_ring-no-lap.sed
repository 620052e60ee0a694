# A producer takes any empty entry, of whatever lap: one that slept fills an entry ahead of the tail.
# define: -DSENDS=3 -DKILLS=0 -DSTOPS=0
s~state\[HERE\] == EMPTY\(HERE_LAP\)~!IS_FULL(state[HERE])~
