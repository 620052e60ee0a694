# The NF sleeps without looking at the ring again.
s|seen = produced;( +/\* 3 \*/)|skip;\1|
