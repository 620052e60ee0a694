# The ageing timer looks at the word itself, without the fence.
# define: -DBATCH=3 -DAGING=1
s~:: waiting != 0 -> in_ready = true~:: waiting != 0 \&\& word == ASLEEP -> in_ready = true~
