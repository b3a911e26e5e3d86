"""Everything that the supervisor and its processes go by, as values."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec

from coachman.config.addresses import Address, TcpAddress
from coachman.config.application_location import ApplicationLocation


class SpawnMethod(StrEnum):
    """How workers come to have the application."""

    AUTO = "auto"
    """As `PRELOAD`, but as `DIRECT` where loading it leaves a thread alive."""
    PRELOAD = "preload"
    """It is loaded once, by the preloader, which forks the workers."""
    DIRECT = "direct"
    """Each worker loads it by itself."""


class Interface(StrEnum):
    """What an application is called by."""

    AUTO = "auto"
    """Whichever of the others it looks like."""
    WSGI = "wsgi"
    ASGI = "asgi"


class LogFormat(StrEnum):
    """What a line of the log looks like."""

    TEXT = "text"
    """The process and the pipe, then the line."""
    JSON = "json"
    """An object."""
    RAW = "raw"
    """What the application printed, and nothing else."""


class LogLevel(StrEnum):
    """How much coachman itself says in the log."""

    INFO = "info"
    DEBUG = "debug"
    """Also what matters only to those who look for a fault."""


class AccessLogFormat(StrEnum):
    """What the log says of a request."""

    OFF = "off"
    COMMON = "common"
    COMBINED = "combined"
    JSON = "json"


class ProcessSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the system and the environment of an application's processes are to be."""

    user: str | None = None
    group: str | None = None
    umask: int | None = None
    limits: tuple[str, ...] = ()
    """Resource limits, each as ``NAME=SOFT`` or ``NAME=SOFT:HARD``."""
    variables: dict[str, str] = {}
    """Environment variables, over those that coachman itself was started with."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may ask of a worker. Sizes in bytes, times in seconds; 0: unbounded."""

    request_line: int = 8190
    header_size: int = 64 * 1024
    """Of all headers of a request together."""
    header_count: int = 100
    body_size: int = 0
    header_timeout: float = 20.0
    """From the first byte of a request until its headers are complete."""
    body_timeout: float = 60.0
    """How long a body may make no progress."""
    keep_alive_timeout: float = 75.0
    """How long a connection may wait for its next request."""
    write_timeout: float = 60.0
    """How long a client may take nothing of its response."""
    requests_per_connection: int = 0
    connections: int = 20_000
    """Open connections of one worker."""


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a worker process goes by. It travels to the worker as JSON, in one field."""

    interface: Interface = Interface.AUTO
    threads: int = 1
    """Application calls that one worker runs at the same time."""
    bounds: Bounds = Bounds()
    trusted_proxies: tuple[str, ...] = ("127.0.0.0/8", "::1", "unix")
    """Peers whose word on the client is taken: networks, and "unix" for unix sockets."""
    proxy_protocol: bool = False
    """Whether trusted peers begin every connection with the PROXY protocol."""
    access_log: AccessLogFormat = AccessLogFormat.OFF
    static: dict[str, str] = {}
    """Folder by the prefix of the paths that are served from it."""
    static_follow_symlinks: bool = False
    static_max_age: float | None = None
    """Seconds for which clients may use a static file without asking again; None: nothing is said."""
    request_timeout: float = 0.0
    """Seconds that the application may take to answer; 0: any."""
    drain_timeout: float = 10.0
    """Seconds that a worker may take to finish what it has in hand when it is stopped."""
    max_queue: int = 0
    """Connections that may wait for a worker, before further ones are turned away with 503; 0: any."""


class ProcessCount(msgspec.Struct, frozen=True):
    """How many workers a pool may have."""

    least: int
    most: int

    def __str__(self) -> str:
        return str(self.least) if self.least == self.most else f"{self.least}-{self.most}"


class ScalingConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How the number of workers follows the demand."""

    processes: ProcessCount = ProcessCount(1, 1)
    idle_time: float = 60.0
    """Seconds of more workers than needed after which one is stopped."""
    max_memory: int = 0
    """Bytes that all processes of the application may take together, by proportional set size; 0: any."""


class RestartConfig(msgspec.Struct, frozen=True, kw_only=True):
    """When and how workers are replaced. Each limit is per worker; 0: none."""

    surge: int = 1
    """Workers over the usual number while a generation replaces another."""
    file: str = "tmp/restart.txt"
    """Touched, relative to the application's root, it asks for a restart; "": no file does."""
    reload: bool = False
    """Whether a change of the code restarts the application: for development."""
    max_requests: int = 0
    max_requests_jitter: int = 0
    """By how much at most, at random, a worker's `max_requests` is larger."""
    max_worker_memory: int = 0
    """Bytes of proportional set size."""
    max_worker_age: float = 0.0
    """Seconds."""
    heartbeat_timeout: float = 60.0
    """Seconds for which a worker's loop may not answer."""


class ApplicationConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One application and how it is served."""

    location: ApplicationLocation
    name: str = ""
    """What it is called in the log and by commands; "": as its location is."""
    addresses: tuple[Address, ...] = (TcpAddress("127.0.0.1", 8000),)
    environment: str = "production"
    """What kind of place this is: "development" or "production", or a word of the person's own."""
    worker: WorkerConfig = WorkerConfig()
    scaling: ScalingConfig = ScalingConfig()
    restart: RestartConfig = RestartConfig()
    process: ProcessSettings = ProcessSettings()
    spawn_method: SpawnMethod = SpawnMethod.AUTO
    before_fork: tuple[str, ...] = ()
    after_fork_in_worker: tuple[str, ...] = ()
    """Functions of the application to call, each as ``module:function``; `coachman.hooks` says when."""
    max_preloader_idle_time: float = 0.0
    """Seconds after which a preloader that forks nothing is stopped, to save its memory; 0: never."""
    start_timeout: float = 90.0
    """Seconds that a worker may take from its start until it is ready."""

    @property
    def title(self) -> str:
        """Its name, or that of its location where it has none of its own."""
        return self.name or self.location.name


class SupervisorConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that `coachman serve` goes by."""

    applications: tuple[ApplicationConfig, ...]
    log_file: Path | None = None
    """None: standard output."""
    log_format: LogFormat = LogFormat.TEXT
    log_level: LogLevel = LogLevel.INFO
    pid_file: Path | None = None
    metrics: TcpAddress | None = None
    """Where metrics and health checks are served."""
    runtime_folder: Path | None = None
    """Where the control socket is; None: the usual place of this user."""
