"""What the owner of an agent sets for its actor."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import msgspec

from bots.config import Config
from bots.errors import ConfigError
from bots.transports.activitypub.names import BadUrl, canonical, origin

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,30}")
_HANDLE: Final = re.compile(r"@?[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}@[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?")
_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*:[!-~]{1,500}")


class ActivityPubConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the actor is, and whom it follows."""

    host: str  # base URL that others know us by, without a slash at the end
    name: str  # local part of the handle
    title: str = ""  # what people read as its name
    summary: str = ""
    listen: tuple[str, int] = ("127.0.0.1", 8480)
    follow: tuple[str, ...] = ()  # handles, or URLs of actors
    rooms: tuple[str, ...] = ()  # rooms of other transports that bridges carry
    blocked: tuple[str, ...] = ()  # hosts
    allow_private: bool = False  # also actors on private networks, and without TLS
    self_check: bool = True  # whether to ask ourselves by our own URL

    def check(self) -> None:
        """Raises ConfigError with the first thing that is wrong."""
        if not NAME.fullmatch(self.name):
            raise ConfigError(
                "activitypub.name",
                f"{self.name!r} cannot be the name in a handle.",
                "Set activitypub.name: small letters, digits, - and _, 31 at most.",
            )
        if self.host.startswith("http:") and not self.allow_private:
            raise ConfigError(
                "activitypub.host",
                f"{self.host} is not https.",
                "Let a reverse proxy serve https; without it only activitypub.allow_private works.",
            )
        for one in self.follow:
            if not (_HANDLE.fullmatch(one) or one.startswith(("https://", "http://"))):
                raise ConfigError(
                    "activitypub.follow", f"{one!r} is no actor.", "Write @name@host, or the URL of an actor."
                )
        for room in self.rooms:
            if not _URI.fullmatch(room):
                raise ConfigError("activitypub.room", f"{room!r} is no URI of a room.", "E.g.: lan:clawnet")


def from_section(config: Config) -> ActivityPubConfig:
    """What an agent's configuration says of its actor. Raises ConfigError."""
    section = config.activitypub
    settings = ActivityPubConfig(
        host=base(section.host),
        name=section.name or local_part(config.agent.name),
        title=config.agent.name,
        summary=config.agent.description,
        listen=endpoint(section.listen),
        follow=section.follow,
        rooms=section.rooms,
        blocked=tuple(one.lower() for one in section.blocked),
        allow_private=section.allow_private,
        self_check=section.self_check,
    )
    settings.check()
    return settings


def base(url: str) -> str:
    """A base URL from what a person wrote: lower-case host, no path, no port that is the scheme's own.

    Raises ConfigError.
    """
    try:
        found = canonical(url.strip())
        if found != f"{origin(found)}/":
            raise BadUrl("There must be nothing but a host, and perhaps a port.")
    except BadUrl as error:
        raise ConfigError(
            "activitypub.host", f"{url} cannot be where an actor is. {error}", "E.g.: https://agent.example.org"
        ) from None
    return origin(found)


def local_part(name: str) -> str:
    """An agent's name as the local part of a handle."""
    return re.sub(r"[^a-z0-9_-]+", "-", name.casefold()).strip("-_")[:31].rstrip("-_") or "clawbot"


def is_loopback(address: str) -> bool:
    """Whether only this machine itself, as by a proxy on it, reaches what listens there."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def endpoint(listen: str) -> tuple[str, int]:
    """Address and port to listen on, from ``address:port``. Raises ConfigError."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise ConfigError("activitypub.listen", f"{listen!r} is nowhere to listen.", "E.g.: 127.0.0.1:8480")
    return host, int(port)
