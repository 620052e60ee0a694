# The ageing timer looks at the word without the fence.
# define: -DBATCH=3 -DAGING=1
/^inline check_and_wake/,/^\}/b
/the timer expired/,/check_and_wake/s|check_and_wake\(\)|if :: word == ASLEEP -> check_and_wake() :: else fi|
