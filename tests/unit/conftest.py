"""What several files of unit tests start from."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from coachman.config.model import AccessLogFormat, WorkerConfig
from coachman.worker.services import Services, make_services


@pytest.fixture
def log() -> Iterator[tuple[Services, int]]:
    """Services with an access log in JSON, and the end of its pipe to read from."""
    ends: list[int] = []
    config = WorkerConfig(access_log=AccessLogFormat.JSON)
    services = make_services(config, None, lambda fd: ends.append(os.dup(fd)))
    assert services is not None
    yield services, ends[0]
    services.close()
    os.close(ends[0])
