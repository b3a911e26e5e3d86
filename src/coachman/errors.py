"""Every exception that coachman raises, grouped by whose fault it is.

========================  =====================================================================
the caller                `LocalProtocolError`, `ChannelBusy`, `ChannelDead`, `ServerAlreadyStarted`,
                          `ServerNotStarted`
the peer of a channel     `RemoteProtocolError`, `MessageCut`, `PeerGone`, `UnknownMessage`, `ServerError`
the person's settings     `ConfigurationError`
the application           `ApplicationError`
nobody                    `ChannelTimeout`
========================  =====================================================================

What carries more than a message is derived from these in the room that knows the rest.
"""


class CoachmanError(Exception):
    """The base of every exception that coachman raises by itself."""

    exit_status = 1
    """With which a command ends that it ends."""

    def __reduce__(self) -> tuple[object, ...]:
        """Go to another process as it is: by itself, Python calls `__init__` there with the message alone."""
        return _made_again, (type(self), self.args, vars(self))


class ConfigurationError(CoachmanError):
    """A setting is wrong. The message names the setting, its value and what would be right."""


class ChannelError(CoachmanError):
    """The base of what can go wrong on a `MessageChannel`."""


class LocalProtocolError(ChannelError, ValueError):
    """Our side asked for something that the wire cannot carry. Nothing was written; the channel lives."""


class RemoteProtocolError(ChannelError):
    """The peer sent bytes that the protocol does not allow. The channel is dead from here on."""


class MessageCut(RemoteProtocolError):
    """The stream ended, or the connection was reset, inside an item."""

    def __init__(self, *, missing: int, received: int) -> None:
        """`received` bytes of the item are here; at least `missing` bytes never came."""
        super().__init__(
            f"the peer's stream ended inside a message: {received} bytes came, {missing} are missing"
        )
        self.missing = missing
        self.received = received


class PeerGone(ChannelError, BrokenPipeError):
    """The peer has closed its end, so nothing can be written to it. What it sent before can still be read."""


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

    def __init__(self, server: str, pid: int, ending: object, last_words: str = "") -> None:
        """`ending` is its `Ending`; `last_words` the last line of its traceback, where there is one."""
        super().__init__(
            f"{server} (process {pid}) has ended: {ending}" + (f"; {last_words}" if last_words else "")
        )
        self.pid = pid
        self.ending = ending
        self.last_words = last_words


class ApplicationError(CoachmanError):
    """The application could not be found, loaded or started."""


def _made_again(
    kind: type[CoachmanError], args: tuple[object, ...], attributes: dict[str, object]
) -> CoachmanError:
    error = kind.__new__(kind, *args)
    vars(error).update(attributes)
    return error
