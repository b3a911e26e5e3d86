"""The running supervisors: found by their control sockets, chosen, asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from coachman.errors import ChannelError, ChannelTimeout, CoachmanError, ConfigurationError, PeerGone
from coachman.protocol.control_socket import LONGEST_ANSWER, STATUS, Answer
from coachman.protocol.status import SupervisorStatus
from coachman.protocol.text import sendable
from coachman.unix.channel import MessageChannel
from coachman.unix.control_socket import SocketName, connect_in, socket_names
from coachman.unix.runtime_folder import open_runtime_folder, runtime_folders

ANSWER_SECONDS: Final = 10.0
FOLDER_VARIABLE: Final = "COACHMAN_RUNTIME_FOLDER"
Result = TypeVar("Result")


class NoSupervisor(CoachmanError):
    """No supervisor is running that is meant."""

    exit_status = 3


class SeveralSupervisors(CoachmanError):
    """Several supervisors could be meant."""

    exit_status = 4


class NoAnswer(CoachmanError):
    """The supervisor did not answer in time."""

    exit_status = 5


class Refused(CoachmanError):
    """The supervisor has said why it does not do what it was asked to."""


@dataclass(frozen=True, slots=True)
class Target:
    """Which supervisor, and which of its applications."""

    app: str = ""
    """"": all."""
    pid: int | None = None
    socket: Path | None = None
    folder: Path | None = None
    """The runtime folder; None: the usual one."""


class Supervisor:
    """A connection to a supervisor. It owns the channel."""

    def __init__(self, name: SocketName, channel: MessageChannel) -> None:
        self.name = name
        self._channel = channel

    def ask(
        self, request: str, *arguments: str, result: type[Result], timeout: float | None = ANSWER_SECONDS
    ) -> Result:
        """Send a request and return its result.

        Raises `Refused`, and `NoAnswer` where there is none within `timeout` seconds (None: for ever) or the
        supervisor has ended.
        """
        try:
            self._channel.write(request, *arguments, timeout=timeout)
        except ChannelError as error:
            raise self._silent(error) from error
        return self.next(result, timeout)

    def next(self, result: type[Result], timeout: float | None = ANSWER_SECONDS) -> Result:
        """Return the next result of a request that has several; raises what `ask` raises."""
        try:
            data = self._channel.read_scalar(LONGEST_ANSWER, timeout)
        except ChannelError as error:
            raise self._silent(error) from error
        if data is None:
            raise self._gone()
        answer = msgspec.json.decode(data, type=Answer)
        if answer.error:
            raise Refused(answer.error)
        return msgspec.json.decode(answer.result, type=result)

    def status(self) -> SupervisorStatus:
        """Return the state of everything."""
        return self.ask(STATUS, result=SupervisorStatus)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _silent(self, error: ChannelError) -> NoAnswer:
        if isinstance(error, PeerGone):
            return self._gone()
        what = "does not answer" if isinstance(error, ChannelTimeout) else f"is not to be talked to: {error}"
        return NoAnswer(f"supervisor {self.name.pid} {what}")

    def _gone(self) -> NoAnswer:
        return NoAnswer(f"supervisor {self.name.pid} has closed the connection")


def running_supervisors(target: Target) -> list[Supervisor]:
    """Connect to every supervisor in the runtime folders; remove the sockets that killed ones have left.

    The caller closes them. Raises `ConfigurationError` where a folder that was named cannot be trusted.
    """
    named = target.folder or _folder_of_environment()
    found: list[Supervisor] = []
    try:
        for path in runtime_folders(os.environ) if named is None else [named]:
            if path.is_dir():
                found += _supervisors_in(path, named=named is not None)
    except BaseException:
        _close(found)
        raise
    return found


def _supervisors_in(path: Path, *, named: bool) -> Iterator[Supervisor]:
    try:
        # Root may control what belongs to anybody.
        folder = open_runtime_folder(path, of_anybody=os.geteuid() == 0)
    except ConfigurationError:
        if named:
            raise
        return  # another user's
    try:
        for name in socket_names(folder):
            try:
                yield _connected(folder, name)
            except ConnectionRefusedError:
                with suppress(OSError):
                    os.unlink(name.file, dir_fd=folder)
            except OSError:
                continue  # it has ended meanwhile
    finally:
        os.close(folder)


@contextmanager
def chosen_supervisor(target: Target) -> Iterator[Supervisor]:
    """Connect to the one supervisor that is meant, for a block.

    Raises `NoSupervisor` and `SeveralSupervisors` where it is not one, `ConfigurationError` where the runtime
    folder cannot be trusted.
    """
    if target.socket is not None:
        supervisor = _at_path(target.socket)
    else:
        found = running_supervisors(target)
        chosen = [one for one in found if target.pid in (None, one.name.pid)]
        try:
            if len(chosen) > 1 and target.app:
                chosen = [one for one in chosen if _has(one, target.app)]
            supervisor = _only(chosen, target, found)
        except BaseException:
            _close(found)
            raise
        _close(one for one in found if one is not supervisor)
    try:
        yield supervisor
    finally:
        supervisor.close()


def _folder_of_environment() -> Path | None:
    return Path(value) if (value := os.environ.get(FOLDER_VARIABLE)) else None


def _connected(folder: int, name: SocketName) -> Supervisor:
    return Supervisor(name, MessageChannel(connect_in(folder, name.file, ANSWER_SECONDS)))


def _at_path(path: Path) -> Supervisor:
    folder = -1
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        pid = path.name.partition("-")[0]
        return _connected(folder, SocketName(path.name, int(pid) if pid.isdecimal() else 0, path.stem))
    except OSError as error:
        raise NoSupervisor(f"no supervisor at {path}: {error.strerror or error}") from error
    finally:
        if folder >= 0:
            os.close(folder)


def _has(supervisor: Supervisor, application: str) -> bool:
    with suppress(NoAnswer, Refused):
        return any(one.name == sendable(application) for one in supervisor.status().applications)
    return False


def _only(chosen: list[Supervisor], target: Target, running: list[Supervisor]) -> Supervisor:
    meant = "".join(
        f" {text}"
        for text, given in (
            (f"with the pid {target.pid}", target.pid is not None),
            (f"with the application {target.app!r}", bool(target.app)),
        )
        if given
    )
    if not chosen and running:
        raise NoSupervisor(f"no supervisor{meant} is running for this user, but {_names(running)}")
    if not chosen:
        raise NoSupervisor(f"no supervisor{meant} is running for this user; `coachman serve` starts one")
    if len(chosen) > 1:
        names = _names(chosen)
        raise SeveralSupervisors(f"several supervisors{meant} are running: {names}; choose by --pid or --app")
    return chosen[0]


def _names(supervisors: list[Supervisor]) -> str:
    return ", ".join(f"{one.name.pid} ({one.name.applications})" for one in supervisors)


def _close(supervisors: Iterator[Supervisor] | list[Supervisor]) -> None:
    for supervisor in supervisors:
        supervisor.close()
