"""How far each place of a hub was read (spec/bindings/http.md, HTTP-11 and HTTP-12)."""

from __future__ import annotations

import logging

import msgspec

from bots.transports.http.wire import is_event_id

log = logging.getLogger(__name__)


class Place(msgspec.Struct, frozen=True):
    """How far one place was read."""

    after: str = ""  # event id, "" before the first
    past: bool = False  # what was there before us is read once: whatever comes from now on is live


class Position(msgspec.Struct):
    """All places: rooms by URI, and "" for what is sent to us."""

    places: dict[str, Place]

    @classmethod
    def read(cls, text: str | None) -> Position:
        """What was committed. Of a position that no hub can have given the id is dropped: it begins anew there."""
        try:
            kept = msgspec.json.decode(text, type=cls) if text else cls({})
        except (msgspec.MsgspecError, ValueError, RecursionError):
            log.warning("How far the hub was read is not known any more: reading all of it")
            return cls({})
        places = {
            uri: Place("" if not is_event_id(one.after) else one.after, one.past) for uri, one in kept.places.items()
        }
        return cls(places)

    def text(self) -> str:
        return msgspec.json.encode(self).decode()
