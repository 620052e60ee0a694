# A wake leaves the count of waiting packets: the next packet is not the first, no ageing timer starts.
# define: -DBATCH=3 -DAGING=1
s~deferred = false; on_served\(\)~deferred = false~
