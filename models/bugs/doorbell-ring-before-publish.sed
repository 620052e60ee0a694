# The NF rings before its output index is published.
s~published\[id\] = .*/\* publish \*/~skip;~
s~; ringing\[id\] = false \}( +/\* fetch_or 2 \*/)~ };\
  atomic { published[id] = (published[id] + 1) % MOD; ringing[id] = false }~
