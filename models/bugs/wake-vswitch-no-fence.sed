# The vSwitch goes from publishing to reading the word without a fence.
s|VS_FENCE;( +/\* b \*/)|skip;\1|
