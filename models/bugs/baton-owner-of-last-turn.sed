# Whoever owned the baton in the last turn is not queued.
# define: -DPACKETS=3 -DTSO=0
s~^       look\(\);$~       skip;~
s~^       fill\(\);$~       fill(); look();~
