# A death drains the ring as far as the hint says, which its process may not have raised yet.
# define: -DSTOPS=0
s~passed < SIZE && SEEN != EMPTY~head < tail \&\& SEEN != EMPTY~
