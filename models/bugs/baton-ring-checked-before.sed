# The NF looks at its ring before it lets go of the baton, and not afterwards.
# define: -DPACKETS=2 -DTSO=0
s~^  bool asleep;$~  bool asleep, left;~
s~^    /\* pass\(\) \*/$~    left = WAITING(id);~
s~WAITING\(id\) -> bell\[id\] = 1~left -> bell[id] = 1; left = false~
s~:: !WAITING\(id\)$~:: !WAITING(id) || !left~
