# The NF sets the summary bit only where its doorbell word was empty before: a neighbour killed between the two bits has left the word full and the summary empty.
s~atomic \{ words\[WORD_OF\(id\)\] = .*~atomic { was_empty = (words[WORD_OF(id)] == 0); words[WORD_OF(id)] = words[WORD_OF(id)] | BIT_OF(id) };~
s~atomic \{ (summary = summary .*); ringing\[id\] = false \}.*~atomic { if :: was_empty -> \1 :: else fi; ringing[id] = false }~
s~^proctype Nf\(byte id\) \{~&\
  bool was_empty;~
