# An NF takes any head that is not parked for its own.
# define: -DPACKETS=3 -DTSO=0
s~entries\[LAST\(INDEX\(seat\[id\]\)\)\] == id \&\& ~~
