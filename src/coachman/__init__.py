"""Coachman starts applications, keeps them running and carries their requests."""

from typing import TYPE_CHECKING

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
from coachman.unix.channel import MessageChannel
from coachman.unix.channel_base import ChannelStatistics
from coachman.unix.processes import Ending

if TYPE_CHECKING:
    from coachman.unix.async_channel import AsyncMessageChannel

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


def __getattr__(name: str) -> object:
    # Imported by who uses it: asyncio is half of this package's import time, and what a process has imported
    # its forked servers pay for with every start.
    if name == "AsyncMessageChannel":
        from coachman.unix.async_channel import AsyncMessageChannel

        return AsyncMessageChannel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
