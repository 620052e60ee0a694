# The NF waits without the kernel comparing the word (a plain sleep).
s|NF_FENCE && word == ASLEEP -> nf_blocked|NF_FENCE -> nf_blocked|
