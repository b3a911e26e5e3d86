"""What a worker does for requests beside calling the application: static files, the access log, time-outs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coachman.config.model import AccessLogFormat, WorkerConfig
from coachman.protocol.access_log import FORMATTERS
from coachman.protocol.http.trusted_peers import TrustedPeers
from coachman.protocol.request_ids import RequestIds
from coachman.worker.access_log import AccessLog
from coachman.worker.watchdog import Watchdog

if TYPE_CHECKING:
    from coachman.worker.static.files import StaticFiles


@dataclass(frozen=True, slots=True)
class Services:
    """Those that are switched on; the others are None. Where all are, an engine has no `Services` at all.

    It owns the access log.
    """

    static: StaticFiles | None
    access_log: AccessLog | None
    request_ids: RequestIds
    trusted: TrustedPeers
    """Whose `X-Request-Id` is taken over."""
    watchdog: Watchdog | None

    def close(self) -> None:
        """Write what is left of the access log."""
        if self.access_log is not None:
            self.access_log.close()


def make_services(
    config: WorkerConfig, watchdog: Watchdog | None, hand_over: Callable[[int], None]
) -> Services | None:
    """Return the services that `config` asks for, None where it asks for none.

    `hand_over` sends the supervisor the read end of the access log's pipe, which stays the caller's.
    """
    static = None
    if config.static:
        # Here, because it takes a while to import, and few need it.
        from coachman.protocol.static.paths import make_mount
        from coachman.worker.static.files import StaticFiles

        static = StaticFiles(
            [make_mount(prefix, os.fsencode(folder)) for prefix, folder in config.static.items()],
            follow_symlinks=config.static_follow_symlinks,
            max_age=config.static_max_age,
        )
    access_log = None
    if config.access_log is not AccessLogFormat.OFF:
        read_end, write_end = os.pipe()
        hand_over(read_end)
        os.close(read_end)
        access_log = AccessLog(write_end, FORMATTERS[config.access_log.value](os.getpid()))
    if static is None and access_log is None and watchdog is None:
        return None
    return Services(
        static,
        access_log,
        RequestIds(os.urandom(6).hex()),
        TrustedPeers(config.trusted_proxies),
        watchdog,
    )
