# The NF raises its flag and sleeps, without looking at the head again.
# define: -DPACKETS=3 -DTSO=0
s~MINE\(hold\);( +/\* look again \*/)~skip;\1~
