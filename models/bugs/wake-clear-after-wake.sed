# The vSwitch wakes first and clears the flag afterwards, with a plain store.
s|atomic \{ VS_FENCE -> old = word; word = AWAKE \}|skip|
s|:: old == ASLEEP -> wake_nf\(\)|:: old == ASLEEP -> wake_nf(); vs_stores!WORD, AWAKE|
