from __future__ import annotations

import os

from coachman.unix.process_usage import cpu_seconds, proportional_memory

NOBODY = 2**22 + 1
"""Above the largest pid that Linux gives."""


def test_the_memory_and_processor_time_of_a_process_are_known() -> None:
    memory = proportional_memory(os.getpid())
    assert memory is not None
    assert memory > 1_000_000
    cpu = cpu_seconds(os.getpid())
    assert cpu is not None
    assert cpu > 0


def test_of_a_process_that_is_not_there_nothing_is_known() -> None:
    assert proportional_memory(NOBODY) is None
    assert cpu_seconds(NOBODY) is None
