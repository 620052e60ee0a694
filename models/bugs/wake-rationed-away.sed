# An NF whose wake has to wait for another turn is forgotten.
s~in_ready && !deferred -> deferred = true~in_ready \&\& !deferred -> in_ready = false~
