"""What the owner of an agent sets for the Matrix transport."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from bots.errors import ConfigError
from bots.transports.matrix import addresses


class MatrixConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the homeserver is, who we are there, and who may invite us."""

    homeserver: str  # base URL, e.g. "https://matrix.example.org"
    user: str  # full user id, e.g. "@agent:example.org"
    device_name: str = "ClawNet agent"  # what people see in the list of devices
    display_name: str = ""  # set at connect if it differs; "" leaves the name alone
    rooms: tuple[str, ...] = ()  # joined by ``run``: aliases, ids or URIs, each with "?via=" if needed
    owner: str = ""  # full user id of the person who may always invite
    invites: tuple[str, ...] = ()  # further user ids ("@a:b") or server names ("b") that may invite
    # Receive the configured rooms alone, leave invitations unanswered and say nothing. Encrypted events that cannot be
    # read are delivered as they are, and again once they are read.
    reads_only: bool = False

    def check(self) -> None:
        """Raises ConfigError with the first thing that is wrong."""
        url = urlsplit(self.homeserver)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ConfigError(
                "matrix.homeserver_url",
                f"The homeserver {self.homeserver!r} is no URL.",
                'Write it like "https://matrix.example.org".',
            )
        if url.username or url.password:
            raise ConfigError(
                "matrix.homeserver_url",
                "The homeserver's URL holds a user name or password.",
                "Give the URL alone; the password is asked for, or taken from the environment.",
            )
        for name, user in (("user", self.user), ("owner", self.owner)):
            if not (user.startswith("@") and addresses.server_of(user)) and (user or name == "user"):
                raise ConfigError(
                    "matrix.user_id",
                    f"The Matrix {name} {user!r} is no full user id.",
                    'Write it like "@agent:example.org".',
                )
        for room in self.rooms:
            try:
                addresses.room_target(room)
            except ValueError as error:
                raise ConfigError(
                    "matrix.room_name",
                    f"{room!r} is no Matrix room.",
                    'Write "#lobby:example.org" or "!id:example.org?via=example.org".',
                ) from error

    def may_invite(self, user_id: str) -> bool:
        """Whether an invitation of this user is accepted."""
        if user_id == self.owner:
            return True
        return user_id in self.invites or addresses.server_of(user_id) in self.invites
