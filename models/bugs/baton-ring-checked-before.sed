# The NF looks at its ring before it lets go of the baton, and not afterwards.
# define: -DPACKETS=3 -DTSO=0
s~^  bool asleep;$~  bool asleep, left;~
s~^    /\* pass\(\) \*/$~    left = WAITING(id);~
/WAITING\(id\) -> bell\[id\] = 1/{
N
s~WAITING\(id\) -> bell\[id\] = 1(.*):: !WAITING\(id\)~left -> bell[id] = 1; left = false\1:: !left~
}
