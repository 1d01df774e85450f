"""Which local networks this machine is in now, and which addresses lie in them (spec/bindings/lan.md, LAN-5)."""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Final

import ifaddr
import msgspec

PORT_LEAST: Final = 1024

_LOCAL: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8")
)
_FLAGS: Final = 0x8913  # SIOCGIFFLAGS of Linux, and some of what it gives
_RUNNING: Final = 0x40
_TUNNEL: Final = 0x10
_MULTICAST: Final = 0x1000


class Interface(msgspec.Struct, frozen=True, order=True):
    """One address of this machine in a local network."""

    name: str
    address: str  # IPv4
    prefix: int  # bits of the network


Interfaces = Callable[[], Sequence[Interface]]


def interfaces(chosen: Sequence[str] = ()) -> list[Interface]:
    """Those that are up, in order: the chosen ones, by name or address; else all but loopback and tunnels."""
    found = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            if not isinstance(ip.ip, str):
                continue
            address = ipaddress.IPv4Address(ip.ip)
            flags = _flags(adapter.nice_name)
            usual = not address.is_loopback and flags & _MULTICAST and not flags & _TUNNEL
            wanted = {adapter.nice_name, ip.ip} & set(chosen) if chosen else usual
            if wanted and is_local(address) and flags & _RUNNING:
                found.append(Interface(adapter.nice_name, ip.ip, ip.network_prefix))
    return sorted(found)


def is_local(address: ipaddress.IPv4Address) -> bool:
    """Whether it is an address of private networks, of one link, or of this machine."""
    return any(address in network for network in _LOCAL)


def is_near(address: str, port: int, own: Sequence[Interface]) -> bool:
    """Whether a node may be there: in one of our own networks, at a port that no service of a system has."""
    try:
        parsed = ipaddress.IPv4Address(address)
    except ValueError:
        return False
    if not (is_local(parsed) and PORT_LEAST <= port <= 65535):
        return False
    for one in own:
        network = ipaddress.IPv4Interface(f"{one.address}/{one.prefix}").network
        edge = one.prefix < 31 and parsed in (network.network_address, network.broadcast_address)
        if parsed in network and not edge:
            return True
    return False


def _flags(name: str) -> int:
    """What an interface is and does. Linux keeps the address of one that has no cable, so this must be asked."""
    if sys.platform != "linux":
        return _RUNNING | _MULTICAST
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            answer = fcntl.ioctl(asked, _FLAGS, struct.pack("16sH22x", name.encode()[:15], 0))
        except OSError:
            return 0
    return int(struct.unpack_from("H", answer, 16)[0])
