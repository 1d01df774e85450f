"""Where health is told, and by which names a request may call that place."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import msgspec

from bots.config import HealthSection
from bots.errors import ConfigError


class Endpoint(msgspec.Struct, frozen=True):
    """Where to listen."""

    host: str  # an IP address
    port: int  # 0: a free one


def endpoint(settings: HealthSection) -> Endpoint | None:
    """Where the owner wants it, None for nowhere. Raises ConfigError for an address that is none, or not loopback."""
    if not settings.listen:
        return None
    host, _, port = settings.listen.rpartition(":")
    host = {"": "127.0.0.1", "localhost": "127.0.0.1"}.get(host, host.removeprefix("[").removesuffix("]"))
    try:
        address, number = ipaddress.ip_address(host), int(port)
    except ValueError:
        address, number = None, -1
    if address is None or not (port.isdecimal() and 0 <= number <= 65535):
        raise ConfigError(
            "health.address", f"health.listen is no address and port: {settings.listen}.", "E.g.: 127.0.0.1:9464"
        )
    if not (address.is_loopback or settings.allow_remote):
        raise ConfigError(
            "health.remote",
            f"health.listen = {settings.listen} can be reached from other machines, without any password.",
            "Take 127.0.0.1, or set health.allow_remote.",
        )
    return Endpoint(str(address), number)


def is_named_rightly(host: str, names: Sequence[str]) -> bool:
    """Whether a Host header names us by address, as localhost, or by one of ``names``.

    A web page that has its own name lead to this machine is known by that name.
    """
    name, colon, port = host.strip().lower().rpartition(":")
    if not colon or not port.isdecimal():
        name = host.strip().lower()
    if name == "localhost" or name in (known.lower() for known in names):
        return True
    if "%" in name:  # what follows it in an address may be any text
        return False
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
