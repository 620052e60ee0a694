# The vSwitch reads the descriptor after it has freed the entry.
# define: -DKILLS=0 -DSTOPS=0
s~^  d = descriptor\[head % SIZE\];.*~  skip;~
s~^    assert\(IS_FULL\(s\) .*~  };\
  len(stores) == 0 -> d = descriptor[head % SIZE];\
  atomic {\
&~
