"""Whom we know: who follows us, whom we follow, and where they take what is sent to them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Literal

import msgspec

from bots.database import Database
from bots.transports.activitypub.names import host, site

FOLLOWERS_MOST: Final = 2048
_FOLLOWERS_OF_SITE: Final = 128
_FOLLOWING_MOST: Final = 512
_FOLLOWING_OF_SITE: Final = 16
_ANSWERS_MS: Final = 86_400_000  # who has not accepted by then makes room
_CONTACTS_MOST: Final = 8192

State = Literal["asked", "accepted", "rejected"]


class Contact(msgspec.Struct, frozen=True):
    """Where an actor takes what is sent to it; ``shared`` is its host's shared inbox, "" if that has none."""

    actor: str
    user: str
    inbox: str
    shared: str = ""
    agent: bool = False  # it names a ClawNet identity

    @property
    def handle(self) -> str:
        """As people see it: ``@user@host``."""
        return f"@{self.user}@{host(self.actor)}"


class Followed(msgspec.Struct, frozen=True):
    """Somebody whose announces we asked for, and the id of the Follow by which we did."""

    actor: str
    follow: str
    state: State
    asked_ms: int


class Contacts:
    """Of one actor, in its database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def forget(self, actor: str) -> None:
        """An actor is no more, or shall have nothing of us."""
        with self._database.transaction():
            for table in ("followers", "following", "contacts"):
                self._database.execute(f"DELETE FROM {table} WHERE actor = ?", (actor,))

    # -- where they are --------------------------------------------------------------------------------------

    def know(self, contact: Contact, now_ms: int) -> None:
        """Remember where an actor takes what is sent to it, by the newest word of itself."""
        with self._database.transaction(durable=False):
            self._database.execute(
                "INSERT OR REPLACE INTO contacts VALUES (?, ?, ?, ?, ?, ?)",
                (contact.actor, contact.user, contact.inbox, contact.shared, int(contact.agent), now_ms),
            )
            excess = int(self._database.value("SELECT count(*) FROM contacts")) - _CONTACTS_MOST
            if excess > 0:
                self._database.execute(
                    "DELETE FROM contacts WHERE actor IN (SELECT actor FROM contacts WHERE actor NOT IN"
                    " (SELECT actor FROM followers UNION SELECT actor FROM following UNION SELECT address FROM members)"
                    " ORDER BY known_ms LIMIT ?)",
                    (excess,),
                )

    def contact(self, actor: str) -> Contact | None:
        """Where an actor is, None if we never heard of it."""
        rows = self._database.rows("SELECT actor, user, inbox, shared, agent FROM contacts WHERE actor = ?", (actor,))
        for actor_id, user, inbox, shared, agent in rows:
            return Contact(actor_id, user, inbox, shared, bool(agent))
        return None

    def of(self, actors: Collection[str]) -> Sequence[Contact]:
        """Where these are, those of them that we know."""
        return [contact for actor in actors if (contact := self.contact(actor)) is not None]

    def at(self, inbox: str) -> Sequence[str]:
        """The actors that take what is sent to them there."""
        rows = self._database.rows("SELECT actor FROM contacts WHERE inbox = ? OR shared = ?", (inbox, inbox))
        return [str(actor) for (actor,) in rows]

    # -- whom the owner named --------------------------------------------------------------------------------

    def want(self, actor: str, name: str = "") -> None:
        """There is always space for this one, whom the owner calls so."""
        self._database.execute("INSERT OR REPLACE INTO wanted VALUES (?, ?)", (actor, name))

    def want_only(self, names: Collection[str]) -> Sequence[str]:
        """Those whom the owner calls otherwise are wanted no more; returns them."""
        known = self._database.rows("SELECT actor, name FROM wanted")
        dropped = [str(actor) for actor, name in known if name not in names]
        for actor in dropped:
            self._database.execute("DELETE FROM wanted WHERE actor = ?", (actor,))
        return dropped

    def is_wanted(self, actor: str) -> bool:
        return self._database.value("SELECT 1 FROM wanted WHERE actor = ?", (actor,)) is not None

    # -- who follows us --------------------------------------------------------------------------------------

    def followers(self) -> Sequence[str]:
        """Who follows us, in the order of their names."""
        return [str(actor) for (actor,) in self._database.rows("SELECT actor FROM followers ORDER BY actor")]

    def is_follower(self, actor: str) -> bool:
        return self._database.value("SELECT 1 FROM followers WHERE actor = ?", (actor,)) is not None

    def follow_of(self, actor: str) -> str:
        """The id of the Follow by which somebody follows us, "" if it does not."""
        return str(self._database.value("SELECT follow FROM followers WHERE actor = ?", (actor,)) or "")

    def may_follow(self, actor: str) -> bool:
        """Whether there is space for one more follower, and for one of its host."""
        if self.is_follower(actor) or self.is_wanted(actor):
            return True
        followers = self.followers()
        of_site = sum(site(one) == site(actor) for one in followers)
        return len(followers) < FOLLOWERS_MOST and of_site < _FOLLOWERS_OF_SITE

    def add_follower(self, actor: str, follow: str) -> None:
        """``follow`` is the id of its Follow."""
        self._database.execute("INSERT OR REPLACE INTO followers VALUES (?, ?)", (actor, follow))

    def remove_follower(self, actor: str) -> None:
        self._database.execute("DELETE FROM followers WHERE actor = ?", (actor,))

    # -- whom we follow --------------------------------------------------------------------------------------

    def following(self) -> Sequence[Followed]:
        """Whom we follow or asked to, in the order of their names."""
        rows = self._database.rows("SELECT actor, follow, state, asked_ms FROM following ORDER BY actor")
        return [Followed(*row) for row in rows]

    def agents(self) -> Sequence[str]:
        """The agents that follow us, and those that we follow, or asked to, and that have not turned us down."""
        rows = self._database.rows(
            "SELECT actor FROM contacts WHERE agent AND (actor IN (SELECT actor FROM followers)"
            " OR actor IN (SELECT actor FROM following WHERE state <> 'rejected')) ORDER BY actor"
        )
        return [str(actor) for (actor,) in rows]

    def followed(self, actor: str) -> Followed | None:
        rows = self._database.rows("SELECT actor, follow, state, asked_ms FROM following WHERE actor = ?", (actor,))
        return Followed(*rows[0]) if rows else None

    def may_ask(self, actor: str, now_ms: int) -> bool:
        """Whether there is space to follow one more, and one more of its host."""
        self._database.execute(
            "DELETE FROM following WHERE state <> 'accepted' AND asked_ms <= ?"
            " AND actor NOT IN (SELECT actor FROM wanted)",
            (now_ms - _ANSWERS_MS,),
        )
        others = [str(one) for (one,) in self._database.rows("SELECT actor FROM following WHERE actor <> ?", (actor,))]
        of_site = sum(site(one) == site(actor) for one in others)
        return (len(others) < _FOLLOWING_MOST and of_site < _FOLLOWING_OF_SITE) or self.is_wanted(actor)

    def asked(self, actor: str, follow: str, now_ms: int) -> None:
        """We have sent a Follow with this id."""
        self._database.execute(
            "INSERT INTO following (actor, follow, state, asked_ms) VALUES (?, ?, 'asked', ?) ON CONFLICT (actor)"
            " DO UPDATE SET follow = excluded.follow, state = excluded.state, asked_ms = excluded.asked_ms",
            (actor, follow, now_ms),
        )

    def answered(self, actor: str, state: State) -> None:
        self._database.execute("UPDATE following SET state = ? WHERE actor = ?", (state, actor))

    def remove_following(self, actor: str) -> None:
        self._database.execute("DELETE FROM following WHERE actor = ?", (actor,))

    # -- what they said before -------------------------------------------------------------------------------

    def knows_past(self, actor: str) -> bool:
        """Whether what this one said before was read, or need not be, for we do not follow it."""
        return bool(self._database.value("SELECT coalesce(max(past), 1) FROM following WHERE actor = ?", (actor,)))

    def past_read(self, actor: str) -> None:
        self._database.execute("UPDATE following SET past = 1 WHERE actor = ?", (actor,))

    def forget_past(self) -> None:
        """All of it is to be read anew."""
        self._database.execute("UPDATE following SET past = 0")
