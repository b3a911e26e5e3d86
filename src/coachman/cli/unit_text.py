"""The text of systemd's units for a server: systemd.service(5), systemd.socket(5), systemd.exec(5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coachman.config.addresses import Address, TcpAddress, UnixAddress
from coachman.config.model import SupervisorConfig
from coachman.errors import ConfigurationError
from coachman.supervisor.service_budgets import start_budget, stop_budget

FIRST_FREE_PORT: Final = 1024
HOMES: Final = (Path("/home"), Path("/root"), Path("/run/user"))
_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "%": "%%", "\n": "\\n", "\t": "\\t"})
TEMPORARY: Final = (Path("/tmp"), Path("/var/tmp"))

CONFINEMENT: Final = """\
ProtectSystem=strict
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
LockPersonality=yes
RemoveIPC=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
# Take these out for an application that calls a setuid program (sudo, sendmail) or uses a device (a GPU).
NoNewPrivileges=yes
PrivateDevices=yes
"""
"""Not MemoryDenyWriteExecute=: callbacks from C (ctypes, cffi) and compilers (numba) could not work."""


@dataclass(frozen=True, slots=True)
class Service:
    """A server as it is to be run."""

    config: SupervisorConfig
    command: Sequence[str]
    """The program, by its absolute path, and its arguments."""
    folder: Path
    """Where it is started."""
    interpreter: Sequence[Path]
    """What has to be readable for it besides: the interpreter's folders."""
    variables: Mapping[str, str]
    """Settings that come from the environment."""
    user: str | None
    """None: the server runs as root."""
    group: str | None

    @property
    def name(self) -> str:
        """What the units are called, without the suffix."""
        applications = self.config.applications
        title = applications[0].title if len(applications) == 1 else self.folder.name
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", title).strip("-.") or "coachman"

    @property
    def addresses(self) -> list[Address]:
        """Every address of every application."""
        return [address for application in self.config.applications for address in application.addresses]

    @property
    def written(self) -> list[Path]:
        """The folders that have to be writable."""
        folders = [self.folder, *(application.location.root for application in self.config.applications)]
        files = [self.config.log_file, self.config.pid_file]
        files += [address.path for address in self.addresses if isinstance(address, UnixAddress)]
        folders += [file.parent for file in files if file is not None]
        if self.config.runtime_folder is not None:
            folders.append(self.config.runtime_folder)
        return _outermost(folder.absolute() for folder in folders)


def service_unit(service: Service, *, made_by: str, notify_reload: bool = False) -> str:
    """Return the text of the service unit. `made_by` is the command that it can be made with again.

    `notify_reload`: for systemd 253 and later, where `systemctl reload` waits until a generation serves.
    """
    config = service.config
    reload = ["ExecReload=/bin/kill -HUP $MAINPID"]
    if notify_reload:
        reload = ["ReloadSignal=SIGHUP"]
    lines = [
        f"# {service.name}.service, made by: {_comment(made_by)}",
        "",
        "[Unit]",
        f"Description={_plain(service.name)}, served by coachman",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        f"Type={'notify-reload' if notify_reload else 'notify'}",
        "NotifyAccess=main",
        f"ExecStart={command_line(service.command)}",
        *(f"Environment={quoted(f'{name}={value}')}" for name, value in service.variables.items()),
        *reload,
        f"WorkingDirectory={_plain(str(service.folder))}",
        *_account(service),
        "# SIGTERM is for the supervisor alone: it drains the workers. What is left after that is killed.",
        "KillMode=mixed",
        f"TimeoutStartSec={start_budget(config.applications):.0f}",
        f"TimeoutStopSec={stop_budget(config.applications):.0f}",
        "WatchdogSec=60",
        "Restart=on-failure",
        "RestartPreventExitStatus=2",
        "# A worker that the kernel kills for its memory is replaced; that is no reason to stop the others.",
        "OOMPolicy=continue",
        "LimitNOFILE=65536",
        f"RuntimeDirectory=coachman/{service.name}",
        f"ReadWritePaths={' '.join(quoted(f'-{folder}') for folder in service.written)}",
        *_homes(service),
    ]
    return "\n".join(lines) + "\n" + CONFINEMENT + "\n[Install]\nWantedBy=multi-user.target\n"


def socket_unit(service: Service, *, made_by: str) -> str:
    """Return the text of a socket unit for the service: systemd listens, also while the server is down.

    Raises `ConfigurationError` where a port is left to the kernel to choose.
    """
    lines = [
        f"# {service.name}.socket, made by: {_comment(made_by)}",
        "",
        "[Unit]",
        f"Description=Where {_plain(service.name)} is served",
        "",
        "[Socket]",
    ]
    for address in service.addresses:
        if isinstance(address, TcpAddress) and not address.port:
            raise ConfigurationError(f"systemd cannot listen at {address}: choose a port")
        lines.append(f"ListenStream={_plain(str(address).removeprefix('unix:'))}")
    if any(isinstance(address, TcpAddress) for address in service.addresses):
        # The default is a socket for IPv4 as well where the address is [::].
        lines.append("BindIPv6Only=ipv6-only")
        lines.append("NoDelay=yes")
    if len(service.config.applications) == 1:
        lines.append(f"FileDescriptorName={service.name}")
    return "\n".join([*lines, "", "[Install]", "WantedBy=sockets.target", ""])


def quoted(text: str) -> str:
    """Return `text` as one word, in which systemd.syntax(7) finds nothing but what it is."""
    escaped = text.translate(_ESCAPES)
    return escaped if re.fullmatch(r"[^\s\"';\\]+", escaped) else f'"{escaped}"'


def command_line(words: Iterable[str]) -> str:
    """Return a command for systemd.service(5), which would take "$" for the beginning of a variable."""
    return " ".join(quoted(word.replace("$", "$$")) for word in words)


def _account(service: Service) -> list[str]:
    lines = [] if service.group is None else [f"Group={_plain(service.group)}"]
    if service.user is None:
        return [*lines, "# It runs as root: --user NAME makes a unit that does not, and has no capabilities."]
    lines.insert(0, f"User={_plain(service.user)}")
    listening = [*service.addresses, service.config.metrics]
    ports = [address.port for address in listening if isinstance(address, TcpAddress)]
    if any(0 < port < FIRST_FREE_PORT for port in ports):
        return [
            *lines,
            "AmbientCapabilities=CAP_NET_BIND_SERVICE",
            "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        ]
    return [*lines, "CapabilityBoundingSet="]


def _homes(service: Service) -> list[str]:
    """Return how home and temporary folders are hidden, where the server itself is not in one."""
    used = [Path(service.command[0]), *service.interpreter, *service.written]
    lines = [f"ProtectHome={'read-only' if _any_in(used, HOMES) else 'yes'}"]
    return lines if _any_in(used, TEMPORARY) else [*lines, "PrivateTmp=yes"]


def _any_in(paths: Iterable[Path], folders: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder) for path in paths for folder in folders)


def _outermost(folders: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for folder in sorted(set(folders)):
        if not any(folder.is_relative_to(other) for other in found):
            found.append(folder)
    return found


def _plain(text: str) -> str:
    """Return a value that is not divided into words: only specifiers have to be kept from being read."""
    return " ".join(text.split("\n")).replace("%", "%%")


def _comment(text: str) -> str:
    return " ".join(text.split("\n")).rstrip("\\")
