# The vSwitch takes and gives the baton without a new epoch: the index comes around, and so does an old head.
# define: -DPACKETS=4 -DTSO=0
s~NEW_EPOCH \(EPOCH\(v_head\) \+ 1\)~NEW_EPOCH EPOCH(v_head)~
