"""The table of settings: each is an option of `coachman serve`, a variable and a key of the file."""

from __future__ import annotations

from typing import Final

from coachman.config import values
from coachman.config.model import AccessLogFormat, Interface, LogFormat, LogLevel, SpawnMethod
from coachman.config.setting import Setting
from coachman.config.values import each, mapping, whole_number

_count: Final = whole_number(0, 2**53)
_function: Final = "MODULE:FUNCTION"

APPLICATION: Final = Setting(
    "app",
    "location",
    values.application,
    "The application: MODULE:ATTRIBUTE, a file, or a folder.",
    "APP",
)
"""The argument of `coachman serve`; in the file and the environment it is a setting like the others."""

APPLICATION_SETTINGS: Final = (
    Setting("bind", "addresses", each(values.address), "Where to listen.", "HOST:PORT|unix:PATH", True),
    Setting("name", "name", values.text, "What it is called in the log and by commands.", "NAME"),
    Setting(
        "environment",
        "environment",
        values.text,
        "What kind of place this is, for the application to know: COACHMAN_ENVIRONMENT.",
        "NAME",
    ),
    Setting(
        "processes",
        "scaling.processes",
        values.process_count,
        "Worker processes: so many, or from LEAST to MOST as requests demand; auto: one for each core.",
        "N|LEAST-MOST",
    ),
    Setting(
        "threads",
        "worker.threads",
        whole_number(1, 1000),
        "Requests that one process handles at the same time.",
        "N",
    ),
    Setting(
        "interface",
        "worker.interface",
        values.choice(Interface),
        "What the application is called by; auto: whichever it looks like.",
        "auto|wsgi|asgi",
    ),
    Setting(
        "spawn-method",
        "spawn_method",
        values.choice(SpawnMethod),
        "preload: load the application once and fork the workers; direct: load it in each worker; "
        "auto: preload, unless loading it leaves a thread alive.",
        "auto|preload|direct",
    ),
    Setting(
        "max-preloader-idle-time",
        "max_preloader_idle_time",
        values.seconds,
        "Stop a preloader that has forked nothing for so long, to save its memory. 0: never.",
        "SECONDS",
    ),
    Setting(
        "before-fork",
        "before_fork",
        each(values.function_name),
        "Call this function of the application in the preloader before each fork; as coachman.hooks does.",
        _function,
        True,
    ),
    Setting(
        "after-fork-in-worker",
        "after_fork_in_worker",
        each(values.function_name),
        "Call this function of the application in each worker before it takes requests, forked or not.",
        _function,
        True,
    ),
    Setting("user", "process.user", values.text, "Run the application as this user; for root.", "NAME"),
    Setting("group", "process.group", values.text, "Run the application with this group; for root.", "NAME"),
    Setting("umask", "process.umask", values.octal, "The application's umask: 027, say.", "OCTAL"),
    Setting(
        "limit",
        "process.limits",
        each(values.resource_limit),
        "A resource limit of the application's processes: nofile=4096, say.",
        "NAME=SOFT[:HARD]",
        True,
    ),
    Setting(
        "env",
        "process.variables",
        mapping(values.variable_name, values.optional_text, "NAME=VALUE"),
        "An environment variable for the application.",
        "NAME=VALUE",
        True,
    ),
    Setting(
        "start-timeout",
        "start_timeout",
        values.seconds,
        "How long a worker may take until it is ready.",
        "SECONDS",
    ),
    Setting(
        "drain-timeout",
        "worker.drain_timeout",
        values.seconds,
        "How long a worker that is to end may take to finish what it has in hand.",
        "SECONDS",
    ),
    # Growing and shrinking.
    Setting(
        "max-idle-time",
        "scaling.idle_time",
        values.seconds,
        "With LEAST-MOST processes: stop one that has not been needed for so long.",
        "SECONDS",
    ),
    Setting(
        "max-memory",
        "scaling.max_memory",
        values.size,
        "With LEAST-MOST processes: start none that would take the application over so much memory. 0: any.",
        "SIZE",
    ),
    Setting(
        "max-queue",
        "worker.max_queue",
        _count,
        "When more connections wait for a worker, answer the surplus with 503. 0: let them wait.",
        "N",
    ),
    # Restarts.
    Setting(
        "surge",
        "restart.surge",
        whole_number(1, 1000),
        "Workers over the usual number while a rolling restart is under way.",
        "N",
    ),
    Setting(
        "restart-file",
        "restart.file",
        values.optional_text,
        "Restart when this file, relative to the application, is touched.",
        "PATH",
    ),
    Setting("reload", "restart.reload", values.truth, "Restart when the code changes; for development."),
    Setting(
        "max-requests",
        "restart.max_requests",
        _count,
        "Replace a worker after so many requests. 0: never.",
        "N",
    ),
    Setting(
        "max-requests-jitter",
        "restart.max_requests_jitter",
        _count,
        "Let each worker's --max-requests be larger by up to so many, at random.",
        "N",
    ),
    Setting(
        "max-worker-memory",
        "restart.max_worker_memory",
        values.size,
        "Replace a worker that takes more memory than this (proportional set size). 0: never.",
        "SIZE",
    ),
    Setting(
        "max-worker-age",
        "restart.max_worker_age",
        values.seconds,
        "Replace a worker after so long. 0: never.",
        "SECONDS",
    ),
    Setting(
        "request-timeout",
        "worker.request_timeout",
        values.seconds,
        "Give a request up after so long: its stacks are logged, its worker is replaced. 0: never.",
        "SECONDS",
    ),
    Setting(
        "heartbeat-timeout",
        "restart.heartbeat_timeout",
        values.seconds,
        "Replace a worker whose loop gives no sign of life for so long. 0: never.",
        "SECONDS",
    ),
    # Bounds.
    Setting(
        "max-request-line",
        "worker.bounds.request_line",
        values.size,
        "Bytes of a request line; more is answered with 414.",
        "SIZE",
    ),
    Setting(
        "max-header-size",
        "worker.bounds.header_size",
        values.size,
        "Bytes of all headers of a request; more is answered with 431.",
        "SIZE",
    ),
    Setting(
        "max-header-count",
        "worker.bounds.header_count",
        _count,
        "Headers of a request; more are answered with 431.",
        "N",
    ),
    Setting(
        "max-body-size",
        "worker.bounds.body_size",
        values.size,
        "Bytes of a request's body; more are answered with 413. 0: any number.",
        "SIZE",
    ),
    Setting(
        "header-timeout",
        "worker.bounds.header_timeout",
        values.seconds,
        "How long the headers of a request may take; 408 after that. 0: for ever.",
        "SECONDS",
    ),
    Setting(
        "body-timeout",
        "worker.bounds.body_timeout",
        values.seconds,
        "How long a body may make no progress; 408 after that. 0: for ever.",
        "SECONDS",
    ),
    Setting(
        "keep-alive-timeout",
        "worker.bounds.keep_alive_timeout",
        values.seconds,
        "How long a connection may wait for its next request. 0: for ever.",
        "SECONDS",
    ),
    Setting(
        "write-timeout",
        "worker.bounds.write_timeout",
        values.seconds,
        "How long a client may take nothing of its response. 0: for ever.",
        "SECONDS",
    ),
    Setting(
        "max-requests-per-connection",
        "worker.bounds.requests_per_connection",
        _count,
        "Requests after which a connection is closed. 0: any number.",
        "N",
    ),
    Setting(
        "max-connections",
        "worker.bounds.connections",
        _count,
        "Open connections of one worker; the others have to wait. 0: any number.",
        "N",
    ),
    # Behind a proxy.
    Setting(
        "trusted-proxy",
        "worker.trusted_proxies",
        each(values.peer),
        'A peer whose word on the client is taken: an address, a network, "unix" or "*".',
        "NETWORK",
        True,
    ),
    Setting(
        "proxy-protocol",
        "worker.proxy_protocol",
        values.truth,
        "Expect the PROXY protocol at the beginning of every connection from a trusted proxy.",
    ),
    # Around the application.
    Setting(
        "access-log",
        "worker.access_log",
        values.choice(AccessLogFormat),
        "Write a line for every request to the log.",
        "off|common|combined|json",
    ),
    Setting(
        "static",
        "worker.static",
        mapping(values.url_prefix, values.folder_name, "PREFIX=FOLDER"),
        "Serve the files of a folder, below a path: /assets=public, say.",
        "PREFIX=FOLDER",
        True,
    ),
    Setting(
        "static-follow-symlinks",
        "worker.static_follow_symlinks",
        values.truth,
        "Let --static follow symbolic links, as long as they stay in the folder.",
    ),
    Setting(
        "static-max-age",
        "worker.static_max_age",
        values.seconds,
        "Let clients use a static file for so long before they ask again. Default: they decide.",
        "SECONDS",
    ),
)
"""What can be set for each application."""

SUPERVISOR_SETTINGS: Final = (
    Setting(
        "log-file",
        "log_file",
        values.path,
        "Append the log to this file instead of writing it to standard output.",
        "FILE",
    ),
    Setting(
        "log-format",
        "log_format",
        values.choice(LogFormat),
        "text: each line with its process and pipe; json: an object a line; raw: what was printed.",
        "text|json|raw",
    ),
    Setting(
        "log-level",
        "log_level",
        values.choice(LogLevel),
        "How much coachman itself says in the log.",
        "info|debug",
    ),
    Setting("pid-file", "pid_file", values.path, "Write the supervisor's pid to this file.", "FILE"),
    Setting(
        "metrics",
        "metrics",
        values.tcp_address,
        "Serve metrics and health checks here.",
        "HOST:PORT",
    ),
    Setting(
        "runtime-folder",
        "runtime_folder",
        values.path,
        "Keep the control socket in this folder. Default: the usual place of this user.",
        "FOLDER",
    ),
)
"""What can be set for the supervisor and all of its applications."""
