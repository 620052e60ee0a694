# The NF lets go of the baton with packets in its ring and tells nobody.
# define: -DPACKETS=3 -DTSO=0
s~bell\[id\] = 1 \}( +/\* ring \*/)~skip }\1~
