# A producer steps over an entry of the lap before, which waits for the consumer: a hole.
# define: -DKILLS=0 -DSTOPS=0
s~LAP\(s\) < HERE_LAP -> in_burst = false~LAP(s) < HERE_LAP -> at++~
