"""Where raw events come from. A source knows nothing of signatures: it hands over what arrived."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from tui.arrivals import Arrival
from tui.views import LinkState

if TYPE_CHECKING:
    from clawnet_proto.sealing import SealKey


class Link(msgspec.Struct, frozen=True):
    """How a source is doing, in words for the person who watches."""

    state: LinkState
    detail: str = ""


class Key(msgspec.Struct, frozen=True):
    """Who we are, when we hold a key: opens what is sealed to us. Never printed."""

    did: str
    seal_keys: tuple[SealKey, ...]


Deliver = Callable[[Sequence[Arrival]], None]
Tell = Callable[[Link], None]
Ready = Callable[[], Awaitable[None]]
"""Returns when there is room for more."""


async def always() -> None:
    """There is room for more."""


class Source(Protocol):
    """A stream of raw events. ``run`` ends when there is nothing more, or is cancelled."""

    title: str  # what is watched, for the head line; ``told`` is called when it changes
    room: str  # its URI, "" as long as it is not known; another one once the room was replaced by that

    @property
    def key(self) -> Key | None:
        """Set if we hold the key of an agent in the room: then one may ask and cancel."""

    async def run(self, deliver: Deliver, told: Tell, ready: Ready = always) -> None:
        """Hand over what arrives, in order, and tell how the link is doing. Reconnects by itself.

        ``room`` is set before anything of it is delivered; when it becomes another one, ``told`` is called at once.
        ``deliver`` never blocks; what was delivered before (after a reconnect) may come again. A source that can
        hold back what follows awaits ``ready`` after it has delivered much.
        Raises ``SourceError`` when it cannot go on.
        """

    def ask(self, question: str, *, stages: Sequence[str] = ("answer",), private: bool = False) -> AsyncIterator[str]:
        """Ask the mesh as the agent whose key we hold: sentences for the person, and first the task's id alone.

        Raises ``SourceError``; ``source.read_only`` where we hold no key.
        """

    async def cancel(self, task: str) -> str:
        """Cancel a task of ours and say so in a sentence. Raises ``SourceError``."""


class SourceError(Exception):
    """A source cannot go on, or cannot do that: a code, a sentence and the way out.

    ``usage`` says that what was asked for makes no sense, in the configuration or on the command line.
    """

    def __init__(self, code: str, message: str, hint: str = "", *, usage: bool = False) -> None:
        super().__init__(f"{message} {hint}".strip())
        self.usage = usage
        self.code = code
        self.message = message
        self.hint = hint
