"""What `mayfly compare` measures side by side.

An alternative has a `name`, says what keeps it from running here (`missing()`), and gives for some
tenants a *target*: a context manager that forwards packets while it is open, with

    set_rate(pps_or_"max")         offers so much from now on
    window(warmup, seconds)        figures of these seconds, with the keys of the API's window
    costs()                        {"start_ms": x, "start_ms_per_tenant": y, "kib_per_tenant": z}
    check()                        raises where packets do not add up; called once, at the end
    config, command, versions      what a row keeps

`release()` gives back what an alternative keeps between its targets."""


class AlternativeError(RuntimeError):
    """The alternative could not do what was asked; one line that becomes a row."""


def short(error):
    """The line of an error that says most: Mayfly's own, else the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("mayfly: ")]
    return (told[-1] if told else lines[0] if lines else type(error).__name__)[:300]
