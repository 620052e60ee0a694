# The tail is published before the entries are written.
# define: -DPACKETS=3
s~STORE_ENTRY\(v_tail, n\);~STORE_TAIL(NEXT(v_tail)); STORE_ENTRY(v_tail, n);~
