# The vSwitch wakes and leaves the flag up.
s|old = word; word = AWAKE|old = word|
