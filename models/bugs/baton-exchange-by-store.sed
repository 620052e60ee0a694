# The holder hands over without comparing the head: it may have been revoked.
# define: -DPACKETS=3 -DTSO=0 -DREVOCATIONS=1
s~^ +NF_FENCE && SAME\(id\) ->$~NF_FENCE ->~
