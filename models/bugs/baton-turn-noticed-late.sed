# An NF whose turn came and went between two looks is not asked whether it left anything.
# define: -DPACKETS=3 -DTSO=0
s~before != V_OWNER -> ready_again\(before\)~true -> skip~
