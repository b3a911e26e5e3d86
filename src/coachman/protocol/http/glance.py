"""What can be told of a request by a glance at its first bytes, without taking them from the kernel."""

from __future__ import annotations

GLANCE_SIZE = 512
"""Bytes to look at."""


def method_and_target(data: bytes) -> bytes | None:
    """Return ``METHOD TARGET`` of the request that begins with `data`; None where it is not all there.

    For a guess at what the request will take: whoever serves it reads it with the parser.
    """
    line, end, _ = data.partition(b"\r\n")
    method_and_target, space, _version = line.rpartition(b" ")
    return method_and_target if end and space else None
