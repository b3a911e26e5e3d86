"""Durations, as a person reads them in the log."""


def duration(seconds: float) -> str:
    """Return `seconds` in a unit that suits them: "4.2 ms", "310 ms", "1.53 s"."""
    milliseconds = seconds * 1000
    if milliseconds < 100:
        return f"{milliseconds:.1f} ms"
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{seconds:.2f} s"


def soon(seconds: float) -> str:
    """Return " in 310 ms", the end of what is said about a thing to come, or "" where that comes at once."""
    return f" in {duration(seconds)}" if seconds else ""
