"""Coachman starts applications, keeps them running and carries their requests."""

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
