# The NF goes from its flag to its second look at the head without a fence.
# define: -DPACKETS=3
s~NF_FENCE;( +/\* fence of the sleeper \*/)~skip;\1~
