# The NF waits without the kernel comparing the word.
# define: -DPACKETS=3 -DTSO=0
s~word\[id\] == ASLEEP -> blocked~true -> blocked~
