"""Who is there to take a stage: whom we heard of lately, and who answers a hello (spec/07-handshake.md, HS-17)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TypeAlias

from bots.behaviours import Context
from bots.behaviours.handshake import HandshakeBehaviour
from clawnet_proto.message import Message

AT_ONCE = 8  # asked for one stage
ANSWER_MS = 2_000  # within which an answer counts
HEARD_MS = 5_000  # whoever we heard of within that is there
AGAIN_MS = 60_000  # before somebody who did not answer is asked once more
SILENT_MOST = 64  # that did not answer: then no more are asked beforehand
_PEERS = 1024
_LONG_AGO_MS = 1 << 53

_Moments: TypeAlias = OrderedDict[tuple[str, str], int]  # by room and did


class Liveness:
    """What we know of who is alive: an announce stands for hours, whatever has become of who made it.

    Moments are of the monotonic clock.
    """

    def __init__(self, context: Context, handshakes: HandshakeBehaviour) -> None:
        self._context = context
        self._handshakes = handshakes
        self._heard_ms: _Moments = OrderedDict()
        self._asked_ms: _Moments = OrderedDict()

    def heard(self, message: Message) -> None:
        """A sign of life arrived; one that was held up on its way is an old one."""
        key = message.envelope.room, message.sender
        under_way = max(0, self._context.now_ms() - message.envelope.sent_ms)
        at_ms = self._context.monotonic_ms() - under_way
        _note(self._heard_ms, key, max(at_ms, self._heard_ms.get(key, at_ms)))

    def there(self, room: str, dids: Sequence[str], patience_ms: int) -> list[str] | None:
        """Those of ``dids``, best first, that are there; None while answers may come, nobody if all are silent.

        The best eight that are not silent already are asked. Once somebody is there, the others have ``patience_ms``
        from being asked. Where ever so many are silent, the next ones are taken to be there: whoever proves silent
        after that is passed over the next time.
        """
        now, me = self._context.monotonic_ms(), self._context.identity.did
        silent = {did for did in dids if did != me and self._is_silent(room, did, now)}
        field = [did for did in dids if did not in silent][:AT_ONCE]
        there = [did for did in field if did == me or self._is_heard(room, did, now)]
        waited = [self._ask(room, did, now) for did in field if did not in there]
        if len(silent) >= SILENT_MOST and not there:
            return field
        if waited and not (there and min(waited) >= patience_ms):
            return None
        return there

    def _ask(self, room: str, did: str, now: int) -> int:
        """Say hello, unless an answer to one is awaited; since when it is, in milliseconds."""
        asked = self._asked_ms.get((room, did), now - AGAIN_MS)
        if now - asked < ANSWER_MS and self._last_ms(room, did) < asked:
            return now - asked
        _note(self._asked_ms, (room, did), now)
        self._handshakes.greet(room, did, again_ms=0)
        return 0

    def _is_silent(self, room: str, did: str, now: int) -> bool:
        """Whether it was asked lately, and has given no sign of life since."""
        asked = self._asked_ms.get((room, did))
        return asked is not None and ANSWER_MS <= now - asked < AGAIN_MS and self._last_ms(room, did) < asked

    def _is_heard(self, room: str, did: str, now: int) -> bool:
        return now - self._last_ms(room, did) < HEARD_MS

    def _last_ms(self, room: str, did: str) -> int:
        """The newest sign of life."""
        confirmed_ms = self._handshakes.confirmed_ms(room, did)
        return max(
            self._heard_ms.get((room, did), -_LONG_AGO_MS), -_LONG_AGO_MS if confirmed_ms is None else confirmed_ms
        )


def _note(moments: _Moments, key: tuple[str, str], at_ms: int) -> None:
    moments[key] = at_ms
    moments.move_to_end(key)
    if len(moments) > _PEERS:
        moments.popitem(last=False)
