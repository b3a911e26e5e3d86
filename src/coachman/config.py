"""What can be configured: addresses to listen on, where the application is, how it is served."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec

from coachman.errors import ConfigurationError
from coachman.location import DEFAULT_ATTRIBUTE, find_location


class TcpAddress(msgspec.Struct, frozen=True):
    """A host and a port to listen on; port 0 lets the kernel choose."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address as a browser takes it."""
        return f"http://{self}"

    @property
    def advertised(self) -> str:
        """The address as it stands in a ``socket`` line of the stdio channel."""
        return f"tcp://{self}"


class UnixAddress(msgspec.Struct, frozen=True):
    """The path of a unix stream socket to listen on."""

    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"

    url = advertised = property(__str__)


Address = TcpAddress | UnixAddress


def parse_address(text: str) -> Address:
    """Read ``HOST:PORT``, ``[IPv6]:PORT`` or ``unix:PATH``; raise `ConfigurationError` where it is none."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise ConfigurationError(
                f"the address {text!r} has no path; write unix:/run/app.sock, for example"
            )
        return UnixAddress(Path(path).absolute())
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ConfigurationError(
            f"the address {text!r} is neither HOST:PORT nor unix:PATH; write 127.0.0.1:8000, for example"
        )
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigurationError(f"the IPv6 address in {text!r} needs brackets: [{host}]:{port}")
    if not host:
        raise ConfigurationError(
            f"the address {text!r} has no host; write 127.0.0.1{text} for this machine only, "
            f"or 0.0.0.0{text} for every network it is on"
        )
    return TcpAddress(host, int(port))


class ApplicationLocation(msgspec.Struct, frozen=True, kw_only=True):
    """Where an application is: a module or a file in its root folder, and the name it has in there."""

    root: Path
    """The folder that becomes the working directory and the first entry of `sys.path`."""
    module: str | None = None
    file: Path | None = None
    attribute: str = DEFAULT_ATTRIBUTE

    @property
    def name(self) -> str:
        """What the application is called in the log: its module, or the folder that its file is in."""
        return self.module or self.root.name

    def __str__(self) -> str:
        return f"{self.file or self.module}:{self.attribute}"


def locate_application(text: str, folder: Path) -> ApplicationLocation:
    """Read ``module:attribute``, a file or a folder, relative to `folder`.

    Nothing is imported: whether the module exists is found out by the process that loads it. Raises
    `ConfigurationError` where `text` is a path at which there is nothing to start.
    """
    found = find_location(text, str(folder))
    return ApplicationLocation(
        root=Path(found.root),
        module=found.module,
        file=None if found.file is None else Path(found.file),
        attribute=found.attribute,
    )


class SpawnMethod(StrEnum):
    """How workers come to have the application."""

    AUTO = "auto"
    """As `PRELOAD`, but as `DIRECT` where loading it leaves a thread alive."""
    PRELOAD = "preload"
    """It is loaded once, by the preloader, which forks the workers."""
    DIRECT = "direct"
    """Each worker loads it by itself."""


class ProcessSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the system and the environment of an application's processes are to be."""

    user: str | None = None
    group: str | None = None
    umask: int | None = None
    limits: tuple[str, ...] = ()
    """Resource limits, each as ``NAME=SOFT`` or ``NAME=SOFT:HARD``."""
    variables: dict[str, str] = {}
    """Environment variables, over those that coachman itself was started with."""


class LogFormat(StrEnum):
    """What a line of the log looks like."""

    TEXT = "text"
    """The process and the pipe, then the line."""
    JSON = "json"
    """An object."""
    RAW = "raw"
    """What the application printed, and nothing else."""


class ServeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that `coachman serve` goes by."""

    application: ApplicationLocation
    addresses: tuple[Address, ...] = (TcpAddress("127.0.0.1", 8000),)
    processes: int = 1
    threads: int = 1
    """Application calls that one worker runs at the same time."""
    environment: str = "production"
    """What kind of place this is: "development" or "production", or a word of the person's own."""
    process: ProcessSettings = ProcessSettings()
    spawn_method: SpawnMethod = SpawnMethod.AUTO
    before_fork: tuple[str, ...] = ()
    after_fork_in_worker: tuple[str, ...] = ()
    """Functions of the application to call, each as ``module:function``; `coachman.hooks` says when."""
    max_preloader_idle_time: float = 0.0
    """Seconds after which a preloader that forks nothing is stopped, to save its memory; 0: never."""
    log_file: Path | None = None
    """None: standard output."""
    log_format: LogFormat = LogFormat.TEXT
    start_timeout: float = 90.0
    """Seconds that a worker may take from its start until it is ready."""
    drain_timeout: float = 10.0
    """Seconds that a worker may take to finish what it has in hand when it is stopped."""
