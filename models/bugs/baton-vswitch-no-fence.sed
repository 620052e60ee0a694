# The vSwitch goes from publishing packets to reading the head without a fence: it passes over an owner that is no more.
# define: -DPACKETS=3
s~VS_FENCE ->( +/\* fence before the head \*/)~true ->\1~
