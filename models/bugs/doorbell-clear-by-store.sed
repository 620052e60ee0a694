# The vSwitch loads a doorbell word and stores 0, in place of one exchange.
s|atomic \{ bits = words\[w\]; words\[w\] = 0 \};|bits = words[w]; words[w] = 0;|
