# The vSwitch frees the entry first and clears the descriptor then: it clears the next producer's.
# define: -DKILLS=0 -DSTOPS=0
s~^  stores!DESCRIPTOR, head % SIZE, 0; .*~  stores!STATE, head % SIZE, EMPTY(head / SIZE + 1);~
s~^    stores!STATE, head % SIZE, EMPTY\(head / SIZE \+ 1\); +/\* free \*/~    stores!DESCRIPTOR, head % SIZE, 0;~
