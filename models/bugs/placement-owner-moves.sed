# One that owns a baton and has packets left is moved, and owns two.
s~:: WAITING && !owns\[placed\] ->~:: WAITING \&\& (!owns[placed] || placed != target) ->~
