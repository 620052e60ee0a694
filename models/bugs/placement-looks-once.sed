# The NF looks at the baton only before it says that it sleeps.
s~^     :: owns\[mine\] -> goto work .*~     :: false -> goto work~
