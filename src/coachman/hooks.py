"""What an application may do around the fork that makes a worker of it.

::

    from coachman import hooks

    @hooks.before_fork
    def disconnect() -> None: ...          # in the preloader, before every fork

    @hooks.after_fork_in_worker
    def reconnect() -> None: ...           # in every worker, before it takes requests

`coachman serve --before-fork MODULE:FUNCTION` and `--after-fork-in-worker` do the same from outside.

With the spawn method `direct` there is no preloader and no fork: `before_fork` is not called then, but
`after_fork_in_worker` is, so that what it starts (a thread, a connection) is there in every worker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Hook = TypeVar("Hook", bound=Callable[[], object])

_before_fork: list[Callable[[], object]] = []
_after_fork_in_worker: list[Callable[[], object]] = []


def before_fork(hook: Hook) -> Hook:
    """Have `hook` called in the preloader before each fork; for use as a decorator.

    What it raises fails the start of that worker.
    """
    _before_fork.append(hook)
    return hook


def after_fork_in_worker(hook: Hook) -> Hook:
    """Have `hook` called in each worker before it takes requests; for use as a decorator.

    What it raises fails the start of that worker, as if the application could not be loaded.
    """
    _after_fork_in_worker.append(hook)
    return hook


def run_before_fork() -> None:
    """Call what `before_fork` collected, in the order of definition. For the preloader."""
    for hook in _before_fork:
        hook()


def run_after_fork_in_worker() -> None:
    """Call what `after_fork_in_worker` collected, in the order of definition. For the worker."""
    for hook in _after_fork_in_worker:
        hook()
