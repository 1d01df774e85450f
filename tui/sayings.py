"""What a line of the timeline says, whatever is known of it."""

from __future__ import annotations

from collections.abc import Callable

from clawnet_proto.rendering import line
from clawnet_proto.specification import ERRORS
from tui.arrivals import UNREAD
from tui.text import cell, name_or_did
from tui.views import Entry, Verdict

_NAME = 48
_SAID = 400


def meaning_of(code: str) -> str:
    """What an error code means, in the words of the specification."""
    if code == UNREAD:
        return "encrypted: its key has not come"
    return ERRORS[code].meaning if code in ERRORS else code


def address_of(uri: str) -> str:
    """An address as people write it."""
    return cell(uri.removeprefix("matrix:u/"), _NAME, pad=False)


def who(entry: Entry, name_of: Callable[[str], str], verdict: Verdict) -> str:
    """The sender's name; the address it came from for what no signature vouches for, or one of a key that may not."""
    if entry.message is not None and verdict != "invalid":
        return name_or_did(name_of(entry.message.sender), entry.message.sender, _NAME)
    return address_of(entry.arrival.sender)


def kind(entry: Entry) -> str:
    """The type of the message, or what there is instead."""
    if entry.message is not None:
        return entry.message.type
    return "words" if entry.words else ""


def said(entry: Entry, name_of: Callable[[str], str], width: int = _SAID) -> str:
    """What it says, in one clean line."""
    if entry.message is not None:
        return cell(line(entry.message, lambda did: name_or_did(name_of(did), did)), width, pad=False)
    if entry.pending:
        return cell("its signature is still to be checked", width, pad=False)
    if entry.code == UNREAD:
        return cell(meaning_of(UNREAD), width, pad=False)
    if entry.code:
        detail = f" ({entry.detail})" if entry.detail else ""
        return cell(f"{entry.code}: {meaning_of(entry.code)}{detail}", width, pad=False)
    return cell(entry.words, width, pad=False)
