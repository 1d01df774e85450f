"""Media types: which of them hold activities (AP-9)."""

from __future__ import annotations

from email.message import Message
from typing import Final

ACTIVITY_JSON: Final = "application/activity+json"
_LD_JSON: Final = "application/ld+json"
_PROFILE: Final = "https://www.w3.org/ns/activitystreams"
ACCEPT: Final = f'{ACTIVITY_JSON}, {_LD_JSON}; profile="{_PROFILE}"'

_HEADER_MOST: Final = 256  # characters


def is_activity(content_type: str) -> bool:
    """Whether a Content-Type says ActivityStreams in UTF-8: activity+json, or ld+json with its profile."""
    kind, profile, charset = _parsed(content_type)
    return charset in ("", "utf-8") and (kind == ACTIVITY_JSON or (kind == _LD_JSON and _PROFILE in profile.split()))


def is_one_of(content_type: str, kinds: tuple[str, ...]) -> bool:
    """Whether a Content-Type is one of these, whatever its parameters."""
    return _parsed(content_type)[0] in kinds


def _parsed(content_type: str) -> tuple[str, str, str]:
    """Type, profile and charset; empty where there is none."""
    if not 0 < len(content_type) <= _HEADER_MOST or not content_type.isprintable():
        return "", "", ""
    message = Message()
    message["Content-Type"] = content_type
    profile, charset = message.get_param("profile", ""), message.get_param("charset", "")
    return message.get_content_type(), str(profile), str(charset).lower()
