# The NF goes from the flag to the re-check without a fence.
s|NF_FENCE;( +/\* 2 \*/)|skip;\1|
