# The NF empties its semaphore after it has looked at the word.
# define: -DBATCH=2 -DAGING=0 -DWAIT=TOKEN
s|:: NF_FENCE && word == ASLEEP ->$|:: NF_FENCE \&\& word == ASLEEP -> tokens = 0;|
