# The vSwitch clears the summary after the scan, not before.
s|atomic \{ found = summary; summary = 0 \};|found = summary;|
s|atomic \{ found = 0; bits = 0; vs_idle = true \}|summary = 0; atomic { found = 0; bits = 0; vs_idle = true }|
