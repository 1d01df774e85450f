"""What a browser and an app without a terminal say to the server between them."""

from __future__ import annotations

import msgspec


class Keys(msgspec.Struct, tag="stdin", array_like=True, forbid_unknown_fields=True, frozen=True):
    """What a terminal would send: keys, the mouse, a paste."""

    text: str


class Cells(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A window's size in cells."""

    width: int
    height: int


class Resized(msgspec.Struct, tag="resize", array_like=True, forbid_unknown_fields=True, frozen=True):
    """The window has another size."""

    cells: Cells


class Ping(msgspec.Struct, tag="ping", array_like=True, forbid_unknown_fields=True, frozen=True):
    """Asks for its mark back."""

    mark: str


class Focused(msgspec.Struct, tag="focus", array_like=True, forbid_unknown_fields=True, frozen=True):
    """The window is the one that gets the keys."""


class Blurred(msgspec.Struct, tag="blur", array_like=True, forbid_unknown_fields=True, frozen=True):
    """It no longer is."""


FromBrowser = Keys | Resized | Ping | Focused | Blurred

read_browser = msgspec.json.Decoder(FromBrowser).decode
"""A websocket's text to what it says. Raises msgspec.MsgspecError."""


class OpenUrl(msgspec.Struct, tag="open_url", frozen=True):
    """The person followed a link."""

    url: str
    new_tab: bool = True


class Delivery(msgspec.Struct, tag="deliver_file_start", frozen=True):
    """A file for the person to keep."""

    key: str
    path: str
    open_method: str
    mime_type: str
    encoding: str
    name: str | None = None


_META: msgspec.json.Decoder[OpenUrl | Delivery] = msgspec.json.Decoder(OpenUrl | Delivery)


def read_app(data: bytes) -> OpenUrl | Delivery | None:
    """What a meta packet of Textual's web driver asks for; None if it is nothing that we do."""
    try:
        return _META.decode(data)
    except msgspec.MsgspecError:
        return None


def clamped(width: int, height: int) -> Cells:
    """The size to draw for a window of this size, bounded both ways: drawing costs by the cell."""
    return Cells(min(max(width, 20), 400), min(max(height, 5), 150))
