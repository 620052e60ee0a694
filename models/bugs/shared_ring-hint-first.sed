# A producer raises the hint before it has filled the entry: if it stops there, the next leave a hole.
# define: -DKILLS=0
s~^    atomic \{ +/\* cmpxchg16b \*/~    tail = (tail == at -> at + 1 : tail);\
&~
