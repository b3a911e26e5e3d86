"""Every exception that coachman raises, grouped by whose fault it is.

========================  =====================================================================
the caller                `LocalProtocolError`, `ChannelBusy`, `ChannelDead`, `ServerAlreadyStarted`,
                          `ServerNotStarted`
the peer of a channel     `RemoteProtocolError`, `UnknownMessage`, `ServerError`
the person's settings     `ConfigurationError`
the application           `ApplicationError`, `StartFailed`
nobody                    `ChannelTimeout`
========================  =====================================================================
"""


class CoachmanError(Exception):
    """The base of every exception that coachman raises by itself."""


class ConfigurationError(CoachmanError):
    """A setting is wrong. The message names the setting, its value and what would be right."""


class ChannelError(CoachmanError):
    """The base of what can go wrong on a `MessageChannel`."""


class LocalProtocolError(ChannelError, ValueError):
    """Our side asked for something that the wire cannot carry. Nothing was written; the channel lives."""


class RemoteProtocolError(ChannelError):
    """The peer sent bytes that the protocol does not allow. The channel is dead from here on."""


class ChannelDead(ChannelError):
    """The channel was closed, or an earlier error killed it: its message says which one."""


class ChannelBusy(ChannelError):
    """Another thread or task is reading (or writing) on this channel at this moment."""


class ChannelTimeout(ChannelError, TimeoutError):
    """The time given was used up. No byte and no descriptor is lost: the same call can be made again."""


class ServerAlreadyStarted(CoachmanError):
    """`start()` was called on a server that is running."""


class ServerNotStarted(CoachmanError):
    """The server has to be started with `start()` before this call."""


class UnknownMessage(CoachmanError):
    """A message arrived for which no handler is defined."""


class ServerError(CoachmanError):
    """The server process has ended while its client still needed it. The message says how it ended."""


class ApplicationError(CoachmanError):
    """The application could not be found or loaded; the cause is chained."""


class StartFailed(CoachmanError):
    """An application process did not become ready. The message is meant for the person who started it."""
