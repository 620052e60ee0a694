# Only an owner whose word says that it sleeps is woken once more: killed was the holder between the word and the system call.
# define: -DPACKETS=2 -DTSO=0 -DKILLS=1 -DNUDGE=1
s~wake_word\(woken\); asleep = false \};~wake_word(woken) };~
s~atomic \{ blocked\[woken\] = 0; woken = NOBODY \}~atomic { call(woken); woken = NOBODY }~
