# The vSwitch reads the word before it publishes the ring index.
s~vs_stores!PRODUCED, mine;( +/\* a \*/)~skip;\1~
s~atomic \{ old = 0; vs_idle = true \}~vs_stores!PRODUCED, mine; atomic { old = 0; vs_idle = true }~
