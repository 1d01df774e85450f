"""Makes activities of ours, signs them, and hands them to the queue."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping

import msgspec

from bots.transports.activitypub import notes, proofs
from bots.transports.activitypub.contacts import Contact
from bots.transports.activitypub.keys import ActorKeys
from bots.transports.activitypub.names import Names, origin
from bots.transports.activitypub.notes import Document
from bots.transports.activitypub.outgoing import Outgoing

LIVES_MS = 2 * 86_400_000  # how long what nobody takes is kept for, where it has no time of its own


class Dispatch:
    """``clock`` gives Unix milliseconds; ``nudge`` is called when there is something to deliver."""

    def __init__(
        self, names: Names, keys: ActorKeys, outgoing: Outgoing, clock: Callable[[], int], nudge: Callable[[], None]
    ) -> None:
        self._names = names
        self._keys = keys
        self._outgoing = outgoing
        self._clock = clock
        self._nudge = nudge

    @staticmethod
    def name() -> str:
        """A new name for an activity or a note."""
        return secrets.token_urlsafe(16)

    def send(
        self,
        name: str,
        document: Document,
        to: Iterable[Contact],
        *,
        txn: str | None = None,
        shared: bool = True,
        public: bool = False,
        announces: str = "",
        answers: str = "",
        caused: bool = False,
        expires_ms: int = 0,
        attachments: Mapping[str, str] | None = None,
    ) -> None:
        """Commit an activity and its deliveries; with ``shared``, one for all of a server that has such an inbox.

        ``expires_ms`` is Unix milliseconds; 0, and whatever is later, is two days from now; ``answers`` and ``caused``
        as ``Outgoing.add`` has them. Raises RetryLater, StoreError.
        """
        now_ms = self._clock()
        last_ms = now_ms + LIVES_MS
        signed = proofs.attach(document, self._keys, self._names.ed25519_key, now_ms // 1000)
        inboxes = dict.fromkeys((one.shared if shared else "") or one.inbox for one in to)
        self._outgoing.add(
            name,
            msgspec.json.encode(signed).decode(),
            {inbox: origin(inbox) for inbox in inboxes},
            now_ms=now_ms,
            expires_ms=min(expires_ms, last_ms) if expires_ms else last_ms,
            txn=txn,
            public=public,
            announces=announces,
            answers=answers,
            caused=caused,
            attachments=attachments,
        )
        self._nudge()

    def announce_to(self, contact: Contact) -> None:
        """Send what we last said of ourselves once more, to one who has not heard it. Raises RetryLater, StoreError."""
        now_ms = self._clock()
        for name in self._outgoing.announces(now_ms, public=not contact.agent):
            self._outgoing.add_delivery(name, contact.inbox, origin(contact.inbox), now_ms)
        self._nudge()

    def follow(self, name: str, contact: Contact, *, caused: bool = True) -> None:
        self.send(name, notes.follow(self._names, name, contact.actor), (contact,), shared=False, caused=caused)

    def unfollow(self, contact: Contact, follow: str) -> None:
        """Take back what we asked by a Follow of this name."""
        name = self.name()
        self.send(name, notes.undo(self._names, name, follow, contact.actor), (contact,), shared=False)

    def accept(self, contact: Contact, follow: str) -> None:
        name = self.name()
        self._answer(name, notes.accept(self._names, name, contact.actor, follow), contact)

    def reject(self, contact: Contact, follow: str) -> None:
        name = self.name()
        self._answer(name, notes.reject(self._names, name, contact.actor, follow), contact)

    def _answer(self, name: str, document: Document, contact: Contact) -> None:
        self.send(name, document, (contact,), shared=False, answers=contact.actor, caused=True)
