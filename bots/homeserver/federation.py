"""How an embedded homeserver federates: with which others, by which certificates, and never for long without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from bots.homeserver.authority import Authority


class Federation(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a server federate on loopback, and with nobody but these."""

    authority: Authority  # the same for all of them
    members: tuple[str, ...]  # the names of all of them
    port: int = 0  # where the server takes federation traffic; 0: at the port of its name

    def port_of(self, server_name: str) -> int:
        """Where the server of this name takes federation traffic."""
        return self.port or int(server_name.rpartition(":")[2])

    def files(self, directory: Path) -> dict[Path, str]:
        """What the server needs to have on disk, and its text: a certificate made for this start among it."""
        certificate, key = self.authority.issue()
        texts = (certificate, key, self.authority.certificate)
        return dict(zip(_paths(directory), texts, strict=True))

    def settings(self, directory: Path) -> dict[str, Any]:
        """Synapse's settings, but for the listener."""
        certificate, key, authority = _paths(directory)
        return {
            "tls_certificate_path": str(certificate),
            "tls_private_key_path": str(key),
            "federation_custom_ca_list": [str(authority)],
            "federation_domain_whitelist": list(self.members),
            # Synapse shuns private addresses, and here there are no others.
            "federation_ip_range_blacklist": [],
            "allow_public_rooms_over_federation": True,
            "federation": _PATIENCE,
        }


def listener(host: str, port: int) -> dict[str, Any]:
    """Synapse's listener for federation traffic."""
    return {
        "type": "http",
        "port": port,
        "tls": True,
        "bind_addresses": [host],
        "resources": [{"names": ["federation"], "compress": False}],
    }


# Synapse spares a server that is away: ten minutes at first, then days. The neighbour that was started anew, or that a
# test cut off, is to be heard of within seconds. What waits to be sent is tried every second; nothing else brings it
# back but something new to send, or a look around once a minute.
_PATIENCE = {  # times in ms
    "max_long_retries": 86_400,
    "max_long_retry_delay": 1000,
    "max_short_retries": 1,
    "destination_min_retry_interval": 500,
    "destination_retry_multiplier": 1,
    "destination_max_retry_interval": 1000,
}


def _paths(directory: Path) -> tuple[Path, Path, Path]:
    return directory / "tls.crt", directory / "tls.key", directory / "authority.crt"
