# The NF looks at the ring first, then raises the flag.
s|nf_stores!WORD, ASLEEP;( +/\* 1 \*/)|seen = produced;|
s|seen = produced;( +/\* 3 \*/)|if :: seen == mine -> nf_stores!WORD, ASLEEP; NF_FENCE :: else fi;|
