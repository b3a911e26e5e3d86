"""The systems that bench/log.py compares: how each runs the talkers and where it puts what they print."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
from load import BIN, ROOT, STOP_TIMEOUT

from coachman.protocol.log_format import FORMATS, Source

TALKER = ROOT / "bench" / "talker.py"
TALKERS = 8


class System(ABC):
    """A program that runs processes and forwards what they print into files."""

    name: str

    @abstractmethod
    @contextmanager
    def running(self, folder: Path, environment: Mapping[str, str]) -> Iterator[int]:
        """Run the talkers in the environment; give the pid of the process that forwards what they print."""

    @abstractmethod
    def log_files(self, folder: Path) -> Sequence[Path]:
        """Return the files that the lines are in."""

    @abstractmethod
    def extra(self, talker: int) -> int:
        """Return how many bytes are added to a line of this process."""


@contextmanager
def program(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Iterator[int]:
    """Run `command`; give its pid."""
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class CoachmanServe(System):
    def __init__(self, log_format: str) -> None:
        self.name = f"coachman {log_format}"
        self._format = log_format

    @contextmanager
    def running(self, folder: Path, environment: Mapping[str, str]) -> Iterator[int]:
        command = f"{BIN}/coachman serve {TALKER} --bind unix:{folder}/socket --processes {TALKERS}"
        options = f"--spawn-method direct --log-file {folder}/log --log-format {self._format}"
        with program([*command.split(), *options.split()], folder, environment) as pid:
            yield pid

    def log_files(self, folder: Path) -> Sequence[Path]:
        return [folder / "log"]

    def extra(self, talker: int) -> int:
        attribution = Source(talker, "bench", 1).attributions["stdout"]
        return sum(map(len, FORMATS[self._format](0).lines(attribution, b"\n", 0).pieces)) - 1


class Supervisord(System):
    name = "supervisord"

    def __init__(self, path: str) -> None:
        self._path = path

    @contextmanager
    def running(self, folder: Path, environment: Mapping[str, str]) -> Iterator[int]:
        settings = folder / "supervisord.conf"
        settings.write_text(
            "[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\n"
            f"pidfile={folder}/pid\n"
            f"[program:talker]\ncommand={sys.executable} {TALKER}\nnumprocs={TALKERS}\n"
            "process_name=%(process_num)d\nstartsecs=0\nautorestart=false\n"
            f"stdout_logfile={folder}/%(process_num)d.log\nstdout_logfile_maxbytes=0\n"
        )
        with program([self._path, "--configuration", str(settings)], folder, environment) as pid:
            yield pid

    def log_files(self, folder: Path) -> Sequence[Path]:
        return [folder / f"{number}.log" for number in range(TALKERS)]

    def extra(self, talker: int) -> int:
        return 0


class Passenger(System):
    name = "Passenger 6"

    def __init__(self, path: str) -> None:
        self._path = path

    @contextmanager
    def running(self, folder: Path, environment: Mapping[str, str]) -> Iterator[int]:
        # The built-in engine and no `tail` of the log on a terminal: the core alone, as behind a web server.
        command = f"{self._path} start --daemonize --engine builtin --app-type wsgi --spawn-method direct"
        files = f"--startup-file {TALKER.name} --python {sys.executable} --log-file {folder}/log"
        processes = f"--pid-file {folder}/pid --min-instances {TALKERS} --max-pool-size {TALKERS}"
        address = f"--address 127.0.0.1 --port {free_port()}"
        subprocess.run(
            " ".join([command, files, processes, address]).split(),
            cwd=TALKER.parent,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        watchdog = psutil.Process(int((folder / "pid").read_text()))
        try:
            (core,) = [child for child in watchdog.children() if "core" in " ".join(child.cmdline())]
            yield core.pid
        finally:
            stop = [self._path, "stop", "--pid-file", str(folder / "pid")]
            subprocess.run(stop, check=True, stdout=subprocess.DEVNULL)

    def log_files(self, folder: Path) -> Sequence[Path]:
        return [folder / "log"]

    def extra(self, talker: int) -> int:
        return len(f"App {talker} output: ")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
