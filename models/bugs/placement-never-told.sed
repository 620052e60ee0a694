# The queue changes, the wake entry does not.
s~^           core = target .*~           skip~
