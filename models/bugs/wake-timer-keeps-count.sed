# An expired ageing timer leaves the count of waiting packets: the next packet is not the first, no timer starts.
# define: -DBATCH=3 -DAGING=1
/the timer expired/,/check_and_wake/s|waiting = 0;|skip;|
