# A slot is used again without draining the ring of what its dead process gave back.
# define: -DSTOPS=0
s~^     drain\(\);~     skip;~
s~^     assert\(pushed\[i\] == taken\[i\]\);~     skip;~
