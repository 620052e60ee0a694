# Who parked takes the baton back without comparing the head.
# define: -DPACKETS=3 -DTSO=0
/NF_FENCE && SAME\(id\) ->$/{
N
s~NF_FENCE && SAME\(id\) ->(\n.*unpark)~NF_FENCE ->\1~
}
