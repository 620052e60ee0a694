# The NF sets its summary bit before its own bit.
s~atomic \{ words.*fetch_or 1 \*/~atomic { summary = summary | (1 << WORD_OF(id)) };~
s~atomic \{ summary = .*fetch_or 2 \*/~atomic { words[WORD_OF(id)] = words[WORD_OF(id)] | BIT_OF(id); ringing[id] = false }~
