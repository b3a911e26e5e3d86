"""Coachman starts applications, keeps them running and carries their requests.

The names are imported when they are first used: whoever needs one of them, or only a room of the package,
does not pay for the others.
"""

# Not from typing, whose import takes longer than all that is below; type checkers know the name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from coachman.errors import (
        ChannelBusy,
        ChannelDead,
        ChannelError,
        ChannelTimeout,
        CoachmanError,
        LocalProtocolError,
        MessageCut,
        PeerGone,
        RemoteProtocolError,
        ServerAlreadyStarted,
        ServerError,
        ServerNotStarted,
        UnknownMessage,
    )
    from coachman.server.abstract_server import AbstractServer
    from coachman.server.handlers import message_handler, signal_handler
    from coachman.unix.async_channel import AsyncMessageChannel
    from coachman.unix.channel import MessageChannel
    from coachman.unix.channel_base import ChannelStatistics
    from coachman.unix.processes import Ending

__all__ = [
    "AbstractServer",
    "AsyncMessageChannel",
    "ChannelBusy",
    "ChannelDead",
    "ChannelError",
    "ChannelStatistics",
    "ChannelTimeout",
    "CoachmanError",
    "Ending",
    "LocalProtocolError",
    "MessageChannel",
    "MessageCut",
    "PeerGone",
    "RemoteProtocolError",
    "ServerAlreadyStarted",
    "ServerError",
    "ServerNotStarted",
    "UnknownMessage",
    "message_handler",
    "signal_handler",
]

_HOMES = {
    "AbstractServer": "server.abstract_server",
    "AsyncMessageChannel": "unix.async_channel",
    "ChannelStatistics": "unix.channel_base",
    "Ending": "unix.processes",
    "MessageChannel": "unix.channel",
    "message_handler": "server.handlers",
    "signal_handler": "server.handlers",
}
"""Where the names are defined; those that are not here are errors."""


def __getattr__(name: str) -> object:
    """Import a public name upon its first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return also what is not imported yet."""
    return sorted({*globals(), *__all__})
