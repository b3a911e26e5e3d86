"""gunicorn.conf.py, read without being run: a configuration that is executed could do anything.

The names are those of gunicorn's documentation, "Settings".
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from coachman.config.foreign.translation import Pairs, Rule, Translation, to
from coachman.errors import ConfigurationError

HOOK: Final = "a hook of gunicorn's; coachman.hooks has before_fork and after_fork_in_worker"
HOOKS: Final = (
    *("on_starting", "on_reload", "when_ready", "on_exit", "nworkers_changed", "pre_exec", "child_exit"),
    *("pre_fork", "post_fork", "post_worker_init", "worker_int", "worker_abort", "worker_exit"),
    *("pre_request", "post_request", "ssl_context"),
)
TLS: Final = (
    *("certfile", "keyfile", "ca_certs", "cert_reqs", "ciphers", "ssl_version"),
    *("do_handshake_on_connect", "suppress_ragged_eofs"),
)
LAXNESS: Final = (
    *("casefold_http_method", "permit_obsolete_folding", "permit_unconventional_http_method"),
    *("permit_unconventional_http_version", "strip_header_spaces", "http_parser"),
)
DIRTY: Final = (
    *("dirty_apps", "dirty_workers", "dirty_threads", "dirty_timeout", "dirty_graceful_timeout"),
    *("on_dirty_starting", "dirty_post_fork", "dirty_worker_init", "dirty_worker_exit"),
)
CONTROL: Final = ("control_socket", "control_socket_mode", "control_socket_disable")
LOGGING: Final = (
    *("logger_class", "logconfig", "logconfig_dict", "logconfig_json"),
    *("syslog", "syslog_addr", "syslog_prefix", "syslog_facility", "disable_redirect_access_to_syslog"),
)
STATISTICS: Final = ("statsd_host", "statsd_prefix", "dogstatsd_tags", "enable_backlog_metric")
HTTP2: Final = (
    *("http_protocols", "http2_cleartext", "http2_initial_window_size", "http2_max_concurrent_streams"),
    *("http2_max_frame_size", "http2_max_header_list_size"),
)
COMMAND_LINE: Final = ("config", "check_config", "print_config", "spew", "raw_paste_global_conf")
NOT_LITERAL: Final = "its value is computed, and the file is not run; put the result into coachman.toml"


def _addresses(value: Any) -> Pairs:
    found = []
    for address in [value] if isinstance(value, str) else value:
        if address.startswith("fd://"):
            raise ConfigurationError("sockets of a service manager are taken over by themselves")
        if not address.startswith("unix:"):
            address = address.removeprefix("tcp://")
            address = address if ":" in address else f"{address}:8000"
            address = f"0.0.0.0{address}" if address.startswith(":") else address
        found.append(address)
    return {"bind": found}


def _worker_class(value: Any) -> Pairs:
    if value in ("sync", "gthread"):
        return {}
    if isinstance(value, str) and value.startswith(("uvicorn.", "uvicorn_worker.")):
        return {"interface": "asgi"}
    raise ConfigurationError("coachman has one kind of worker; --threads sets its threads")


def _environment(value: Any) -> Pairs:
    pairs = (item.split("=", 1) for item in ([value] if isinstance(value, str) else value))
    return {"env": {str(name): str(text) for name, text in pairs}}


def _log_file(value: Any) -> Pairs:
    return {} if value in ("-", None) else {"log-file": value}


def _access_log(value: Any) -> Pairs:
    return {} if value is None else {"access-log": "combined"}


def _keep_alive(value: Any) -> Pairs:
    # gunicorn's 0 keeps no connection, ours is for ever.
    return {"keep-alive-timeout": value} if value else {"max-requests-per-connection": 1}


def _forwarded(value: Any) -> Pairs:
    peers = value.split(",") if isinstance(value, str) else list(value)
    return {"trusted-proxy": [*(peer.strip() for peer in peers), "unix"]}


def _header_size(value: Any) -> Pairs:
    # gunicorn's is of one header field, and there may be a hundred; ours is of all of them.
    return {"max-header-size": max(64 * 1024, int(value))} if value else {"max-header-size": 0}


def _umask(value: Any) -> Pairs:
    return {"umask": f"{value:03o}"} if value else {}


def _switch(key: str) -> Rule:
    return lambda value: {key: True} if value else {}


def _unless(usual: Any, rule: Rule | str) -> Rule:
    """Return the rule for a setting that only matters where it has another value than the usual one."""

    def apply(value: Any) -> Pairs:
        if value == usual:
            return {}
        if isinstance(rule, str):
            raise ConfigurationError(rule)
        return rule(value)

    return apply


RULES: Final[Mapping[str, Rule]] = {
    "bind": _addresses,
    "wsgi_app": to("app"),
    "proc_name": to("name"),
    "workers": to("processes"),
    "threads": to("threads"),
    "worker_class": _worker_class,
    "worker_connections": to("max-connections"),
    "max_requests": to("max-requests"),
    "max_requests_jitter": to("max-requests-jitter"),
    "timeout": to("request-timeout"),
    "graceful_timeout": to("drain-timeout"),
    "keepalive": _keep_alive,
    "limit_request_line": to("max-request-line"),
    "limit_request_fields": to("max-header-count"),
    "limit_request_field_size": _header_size,
    "reload": _switch("reload"),
    "preload_app": lambda value: {"spawn-method": "preload" if value else "auto"},
    "user": to("user"),
    "group": to("group"),
    "umask": _umask,
    "raw_env": _environment,
    "pidfile": to("pid-file"),
    "errorlog": _log_file,
    "accesslog": _access_log,
    "forwarded_allow_ips": _forwarded,
    "proxy_allow_ips": _forwarded,
    "proxy_protocol": _switch("proxy-protocol"),
    "access_log_format": "the formats are common, combined and json: see access-log",
    "loglevel": "coachman's own lines have no levels",
    "capture_output": _unless(True, "what applications print is always in the log"),
    "daemon": _unless(False, "coachman stays in the foreground; a service manager keeps it running"),
    "chdir": "name the application by a path, or start coachman in its folder",
    "pythonpath": "set PYTHONPATH in env",
    "backlog": "it is 2048, or net.core.somaxconn where that is smaller",
    "worker_tmp_dir": "workers show that they live in shared memory",
    "reuse_port": "one socket is shared by all workers",
    "secure_scheme_headers": "X-Forwarded-Proto and Forwarded are understood from trusted proxies",
    "sendfile": "files are always sent with sendfile where that is possible",
    "reload_extra_files": "restart-file is touched to ask for a restart",
    "initgroups": "supplementary groups are always those of the user",
    "tmp_upload_dir": "set TMPDIR for coachman",
    "paste": "name the application in code",
    "asgi_disconnect_grace_period": "an application is told at once",
    "asgi_lifespan": "it is used where the application has it",
    "asgi_loop": "uvloop is used where it is installed",
    "enable_stdio_inheritance": "see capture_output",
    "root_path": "a proxy strips the prefix; SCRIPT_NAME is empty",
    "uwsgi_allow_ips": "the protocol of uWSGI is not spoken",
    "protocol": "HTTP/1.1 is spoken, and the PROXY protocol with proxy-protocol",
    "forwarder_headers": "X-Forwarded-... and Forwarded are understood from trusted proxies",
    "header_map": "names with underscores are never taken for those with dashes",
    "websocket_max_message_size": "it is that of uvicorn",
    "reload_engine": "changes are watched by watchfiles",
    "default_proc_name": "see proc_name",
    **dict.fromkeys(HOOKS, HOOK),
    **dict.fromkeys(TLS, "TLS is left to a proxy"),
    **dict.fromkeys(LAXNESS, "requests are read as RFC 9112 demands, without exceptions"),
    **dict.fromkeys(DIRTY, "there is one kind of worker"),
    **dict.fromkeys(CONTROL, "see runtime-folder, and coachman status"),
    **dict.fromkeys(LOGGING, "an application sets up its own logging, and its output is the log"),
    **dict.fromkeys(STATISTICS, "see metrics for figures in the format of Prometheus"),
    **dict.fromkeys(HTTP2, "HTTP/2 is left to a proxy"),
    **dict.fromkeys(COMMAND_LINE, "it is for gunicorn's own command line"),
}


def translate(path: Path, source: str) -> Translation:
    """Translate a file; raise `ConfigurationError` where it is not Python."""
    try:
        tree = ast.parse(source, str(path))
    except SyntaxError as error:
        raise ConfigurationError(f"{path}:{error.lineno or 1}: {error.msg}") from None
    result = Translation()
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name in RULES:
                result.missing.append((name, HOOK))
                continue
            case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
                continue
            case _:
                what = ast.unparse(statement).splitlines()[0]
                result.missing.append((f"line {statement.lineno}", f"the file is not run: {what}"))
                continue
        try:
            literal = ast.literal_eval(value)
        except (ValueError, TypeError, RecursionError):
            if name in RULES or not name.startswith("_"):
                result.missing.append((name, f"{NOT_LITERAL}: {ast.unparse(value)}"))
            continue
        result.apply(RULES, name, literal)
    return result
