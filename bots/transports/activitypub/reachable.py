"""Which addresses of the network we connect to: those that anybody on the public internet could (AP-24)."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any, Final

# IPv6 addresses whose last 32 bits are the IPv4 address that is reached (RFC 6052).
_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL: Final = ipaddress.IPv6Network("2000::/3")  # all that is given out for unicast (RFC 4291)
# Of those, what is for documentation, for protocols, and for tunnels that have an IPv4 address within.
_NOT_GLOBAL: Final = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_NOT_GLOBAL_4: Final = tuple(map(ipaddress.IPv4Network, ("192.0.0.0/24", "192.88.99.0/24")))


class NotPublic(OSError):
    """An address that we do not connect to."""


def is_public(address: str) -> bool:
    """Whether a numeric address is one of the public internet."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        translated = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF) if found in _TRANSLATED else None
        inner = found.ipv4_mapped or translated
        if inner is None:
            return found in _GLOBAL and found.is_global and not any(found in network for network in _NOT_GLOBAL)
        found = inner
    special = found.is_multicast or found.is_reserved or any(found in network for network in _NOT_GLOBAL_4)
    return found.is_global and not special


def is_local(host: str) -> bool:
    """Whether a host is this machine by its name, or a numeric address that is not public."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return not is_public(host)


def public_socket(info: tuple[Any, ...]) -> socket.socket:
    """A socket for an address of ``getaddrinfo``, made at the moment of connecting to it. Raises NotPublic."""
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise NotPublic("That address is not of the public internet.")
    return socket.socket(family, kind, protocol)
