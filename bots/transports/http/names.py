"""The URLs of a hub, of its rooms, its peers and its chunks (spec/bindings/http.md, HTTP-1 to HTTP-3, HTTP-17)."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from bots.errors import ConfigError

DIGEST: Final = re.compile(r"[A-Za-z0-9_-]{43}")
NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*:")
_URI_MOST: Final = 512  # characters
_PORTS: Final = {"https": 443, "http": 80}


class Names:
    """The names of one hub. ``base`` has no slash at its end."""

    def __init__(self, base: str) -> None:
        self.base = base

    def room(self, segment: str) -> str | None:
        """The room URI behind a percent-encoded path segment of ``/rooms/``, None if it is no room of a hub."""
        if NAME.fullmatch(segment):
            return f"{self.base}/rooms/{segment}"
        try:
            uri = unquote(segment, errors="strict")
        except UnicodeDecodeError:
            return None
        if not (_URI.match(uri) and len(uri) <= _URI_MOST and uri.isprintable()):
            return None
        # One room has one name: our own have their short one.
        return None if uri.startswith(f"{self.base}/") else uri

    def url(self, room: str) -> str:
        """Where a room is, by its URI."""
        own = f"{self.base}/rooms/"
        return room if room.startswith(own) else own + quote(room, safe="")

    def address(self, did: str) -> str:
        """A peer's address."""
        return f"{self.base}/peers/{did}"

    def peer(self, address: str) -> str:
        """The did in an address of this hub, "" if it is none."""
        own = f"{self.base}/peers/"
        return address.removeprefix(own) if address.startswith(own) else ""

    def chunk(self, digest: str) -> str:
        """Where a chunk is, by its digest."""
        return f"{self.base}/chunks/{digest}"

    def digest(self, uri: str) -> str:
        """The digest in the URI of a chunk of this hub, "" if it is none."""
        own = self.chunk("")
        return uri.removeprefix(own) if uri.startswith(own) and DIGEST.fullmatch(uri, len(own)) else ""


def base(url: str) -> str:
    """A hub's base as HTTP-1 says it, from what a person wrote. Raises ConfigError."""
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    fault = ""
    if not url.strip().isprintable():
        fault = "it has characters that no URL has"
    elif parts.scheme not in _PORTS or not host:
        fault = "it is no http or https URL"
    elif parts.username is not None or parts.path.strip("/") or parts.query or parts.fragment:
        fault = "there must be nothing but a host, and perhaps a port"
    elif not (_HOST.fullmatch(host) or _address(host)):
        fault = "its host is none"
    elif parts.scheme == "http" and not is_near(host):
        fault = "http is for this machine and private networks alone"
    if fault:
        raise ConfigError("hub.url", f"{url} cannot be the URL of a hub: {fault}.", "E.g.: https://hub.example.org")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" + ("" if port in (None, _PORTS[parts.scheme]) else f":{port}")


def is_near(host: str) -> bool:
    """Whether a host is this machine, or an address of a private network."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback or address.is_private


def is_everywhere(host: str) -> bool:
    """Whether to listen there is to listen on all addresses of this machine."""
    address = _address(host)
    return address is not None and address.is_unspecified


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
