# The vSwitch tells the NF its new core after it has looked whether it sleeps.
s~^           core = target .*~           skip~
s~^     between_turns = true~     core = placed; between_turns = true~
