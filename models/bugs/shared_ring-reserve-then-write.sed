# A producer moves the tail first and writes its entry afterwards, as DPDK's rings do: one that is stopped in between stops the consumer.
# define: -DKILLS=0
s~^    atomic \{ +/\* cmpxchg16b \*/~    if\
    :: atomic { in_burst \&\& state[tail % SIZE] == EMPTY(tail / SIZE) -> at = tail; tail++ };\
       atomic { fill(); goto filled }\
    :: else -> atomic { in_burst = false; goto next }\
    fi;\
&~
