# The count of waiting packets is cleared while some of them are still in the ring.
s~mine == consumed -> on_served~true -> on_served~
