"""What a process prints last, when the log is slow and its end is awaited while its start is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from coachman.protocol.log_format import Source
from coachman.supervisor.failures.failure import StartFailed
from coachman.supervisor.log.log import Log
from coachman.supervisor.process.application_process import ApplicationProcess
from coachman.supervisor.process.spawner import spawn


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_failed_start_quotes_what_is_read_after_the_process_was_found_to_have_ended(
    tmp_path: Path, stream: str
) -> None:
    redirection = " >&2" if stream == "stderr" else ""

    async def main() -> None:
        log = Log(tmp_path / "log")
        log.gate.shut()
        spawned = spawn(["sh", "-c", f"echo last words{redirection}; exit 3"], tmp_path)
        process = ApplicationProcess(spawned, {}, Source(spawned.child.pid), log)
        ended = asyncio.create_task(process.ended())
        with pytest.raises(StartFailed) as failed:
            await process.start(60)
        await ended
        log.close()
        assert "last words" in [line.text for line in failed.value.failure.printed]

    asyncio.run(main())
    assert f"{stream}: last words" in (tmp_path / "log").read_text()
