# The NF looks which core is its own before it says that it sleeps.
s~^     mine = core; .*~     skip;~
s~^     buffered = true; .*~     mine = core; buffered = true;~
