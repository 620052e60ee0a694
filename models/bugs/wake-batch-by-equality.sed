# Ready only when exactly a batch waits: a burst steps over it.
s|waiting \+ count >= BATCH|waiting + count == BATCH|
