# The vSwitch stores the head without comparing it.
# define: -DPACKETS=2 -DTSO=0
s~:: head != v_head( +/\* it moved)~:: false\1~
s~:: head == v_head ->$~:: true ->~
