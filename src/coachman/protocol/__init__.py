"""The wire formats, as pure code: bytes in, values out; no system calls, no clock."""
