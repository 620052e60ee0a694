# No fence between saying that it sleeps and looking at the baton.
s~atomic \{ !buffered \}; .*2: fence.*~skip;~
