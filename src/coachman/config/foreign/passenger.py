"""Passengerfile.json: the options of Passenger Standalone, by the names of its configuration reference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from coachman.config.foreign.translation import Pairs, Rule, Translation, to
from coachman.errors import ConfigurationError

PROXY: Final = "there is no proxy in coachman: workers hold the connections themselves"
OTHER_LANGUAGE: Final = "coachman serves Python applications; coachman spawn starts any"


def _spawn_method(value: Any) -> Pairs:
    return {"spawn-method": {"smart": "preload", "direct": "direct"}[value]}


def _app_type(value: Any) -> Pairs:
    if value not in ("wsgi", "python"):
        raise ConfigurationError(OTHER_LANGUAGE)
    return {}


def _megabytes(value: Any) -> Pairs:
    return {"max-worker-memory": f"{int(value)}m"}


RULES: Final[Mapping[str, Rule]] = {
    "environment": to("environment"),
    "app_type": _app_type,
    "startup_file": to("app"),
    "spawn_method": _spawn_method,
    "concurrency_model": lambda _value: {},  # what counts is thread_count
    "thread_count": to("threads"),
    "max_requests": to("max-requests"),
    "max_request_time": to("request-timeout"),
    "max_request_queue_size": to("max-queue"),
    "memory_limit": _megabytes,
    "pool_idle_time": to("max-idle-time"),
    "max_preloader_idle_time": to("max-preloader-idle-time"),
    "start_timeout": to("start-timeout"),
    "envvars": lambda value: {"env": {name: str(text) for name, text in value.items()}},
    "log_file": to("log-file"),
    "pid_file": to("pid-file"),
    "user": to("user"),
    "static_files_dir": 'files are served below a path: static = { "/assets" = "public/assets" }, say',
    "instance_registry_dir": to("runtime-folder"),
    "restart_dir": lambda value: {"restart-file": f"{value}/restart.txt"},
    "log_level": "coachman's own lines have no levels",
    "daemonize": "coachman stays in the foreground; a service manager keeps it running",
    "sticky_sessions": PROXY,
    "sticky_sessions_cookie_name": PROXY,
    "turbocaching": PROXY,
    "nginx_config_template": PROXY,
    "engine": PROXY,
    "ssl": "TLS is left to a proxy",
    "ssl_certificate": "TLS is left to a proxy",
    "ssl_certificate_key": "TLS is left to a proxy",
    "ssl_port": "TLS is left to a proxy",
    "friendly_error_pages": 'set environment = "development"',
    "load_shell_envvars": "set what the application needs in env",
    "rolling_restarts": "every restart is a rolling one",
    "resist_deployment_errors": "a generation that does not start is always given up",
    "python": "coachman runs in the interpreter that it is installed for",
    "ruby": OTHER_LANGUAGE,
    "nodejs": OTHER_LANGUAGE,
    "meteor_app_settings": OTHER_LANGUAGE,
    "rackup": OTHER_LANGUAGE,
    "vary_turbocache_by_cookie": PROXY,
    "abort_websockets_on_process_shutdown": "open WebSockets have until drain-timeout",
    "force_max_concurrent_requests_per_process": "see threads",
}

TOGETHER: Final = ("address", "port", "socket_file", "min_instances", "max_pool_size")


def translate(path: Path, source: str) -> Translation:
    """Translate a file; raise `ConfigurationError` where it is no JSON object."""
    try:
        options = json.loads(source)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{path}:{error.lineno}: {error.msg}") from None
    if not isinstance(options, dict):
        raise ConfigurationError(f"{path} is not a JSON object")
    result = Translation()
    from_several: Mapping[str, Rule] = {
        "port": lambda _value: _address(options),
        "max_pool_size": lambda _value: _processes(options),
    }
    for name in from_several:
        result.apply(from_several, name, options.get(name))
    for name, value in options.items():
        if name not in TOGETHER:
            result.apply(RULES, name, value)
    return result


def _address(options: Mapping[str, Any]) -> Pairs:
    if "socket_file" in options:
        return {"bind": [f"unix:{options['socket_file']}"]}
    if "address" not in options and "port" not in options:
        return {"bind": ["0.0.0.0:3000"]}
    return {"bind": [f"{options.get('address', '0.0.0.0')}:{options.get('port', 3000)}"]}


def _processes(options: Mapping[str, Any]) -> Pairs:
    least, most = options.get("min_instances", 1), options.get("max_pool_size", 6)
    if least == most:
        return {"processes": least}
    return {"processes": f"{min(least, most)}-{most}"}
