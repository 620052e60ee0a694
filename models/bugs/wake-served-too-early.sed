# The count of waiting packets is cleared when the first of them comes back, not the last.
s|mine == consumed -> waiting = 0|consumed != 0 -> waiting = 0|
