# A producer steps over full entries, but not over one that the vSwitch has emptied meanwhile: its hint belongs to one who is gone.
# define: -DKILLS=0
s~at = \(LAP\(s\) - 1\) \* SIZE \+ HERE \+ 1~in_burst = false~
