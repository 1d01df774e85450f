"""What a rogue member sends: carriers of every kind that costs others something."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from clawnet_proto.families import identity, presence, task
from clawnet_proto.signing import digest, signed_bytes
from clawnet_proto.specification import LIMITS
from clawnet_proto.wire import Record
from tests.proto import samples
from tests.proto.authoring import Author

Json = dict[str, Any]
Spam = Callable[["Rogue"], object]

_BIG = "x" * 3000  # sixteen such carriers fit into one event
_DEPTH = 100


class Rogue:
    """One account with one identity of long standing and as many new ones as it likes; the same seed, the same spam.

    ``room`` and ``address`` are URIs, ``now_ms`` the wall clock. ``overheard`` are carriers of others, to be replayed.
    """

    def __init__(self, room: str, address: str, device: str, now_ms: Callable[[], int], *, seed: int = 1) -> None:
        self.address = address
        self.overheard: list[object] = []
        self.foreign_tasks: list[str] = []  # ids of others' tasks, to speak in
        self._room = room
        self._device = device
        self._now_ms = now_ms
        self._chance = random.Random(seed)
        self._numbers = itertools.count(1)
        self._author = Author(f"rogue of {address} {seed}")
        self._seed = seed
        self._tasks: list[str] = []
        self._chain: list[str] = []

    @property
    def did(self) -> str:
        return self._author.did

    def event(self, kinds: Sequence[Spam], carriers: int = 16) -> list[object]:
        """The carriers of one event, of these kinds by turns."""
        return [kinds[next(self._numbers) % len(kinds)](self) for _ in range(carriers)]

    def announcement(self) -> Json:
        """What binds the account to the identity of long standing."""
        return self._announce(self._author)

    # --- unsigned, or signed wrongly ---

    def garbage(self) -> object:
        """What is no carrier."""
        number = next(self._numbers)
        return self._chance.choice(({"x": "y" * 200, "n": number}, number, [number] * 50, "words", {"clawnet": number}))

    def forgery(self) -> object:
        """A carrier whose signature does not hold."""
        carrier = self._signed(self._author, presence.Leave(revision=next(self._numbers)))
        return carrier | {"sig": carrier["sig"][::-1]}

    def depth(self) -> object:
        """Nested as deep as homeservers pass on."""
        value: object = next(self._numbers)
        for _ in range(_DEPTH):
            value = [value]
        return value

    def bulk(self) -> object:
        """As many bytes as fit, and nothing in them."""
        return {"clawnet": "1", "kid": self.did, "env": _BIG + str(next(self._numbers)), "sig": "A" * 86}

    # --- signed ---

    def newcomer(self) -> object:
        """An identity nobody has seen, at the rogue's own address."""
        return self._announce(self._fresh())

    def unbound(self) -> object:
        """An identity nobody has seen, at an address that is not the rogue's."""
        author = self._fresh()
        return self._signed(author, samples.announce(author))

    def revocation(self) -> object:
        """An identity nobody has seen, given up at once."""
        return self._signed(self._fresh(), identity.Revoke(chain=(), since_ms=self._now_ms()))

    def request(self) -> object:
        """A task that everybody is asked to offer for."""
        carrier, message_id = self._opened(self._author)
        self._tasks = [*self._tasks[-255:], message_id]
        return carrier

    def nobodys_request(self) -> object:
        """A task of an identity nobody has seen."""
        return self._opened(self._fresh())[0]

    def award(self) -> object:
        """Work for somebody who is not there, in a task of its own."""
        return self._answer(
            task.Award(stage="draft", attempt=self._number() % 1000 + 1, lease_ms=60_000), to=self._fresh().did
        )

    def result(self) -> object:
        """A result nobody asked for, in a task of its own, or of somebody else."""
        body = samples.result(text=_BIG[:1500] + str(self._number()))
        return self._answer(body, to=self._author.did, foreign=True, by=self._fresh())

    def chain(self) -> object:
        """Words in a task of its own, each answering the one before, as many as a task may hold."""
        if len(self._chain) % LIMITS.messages_per_task == 0:
            carrier, message_id = self._opened(self._author)
            self._chain = [message_id]
            return carrier
        body = task.Reply(stage="draft", attempt=1, text="x")
        carrier = self._signed(
            self._author, body, recipients=(self._author.did,), thread=self._chain[0], answers=self._chain[-1]
        )
        self._chain.append(_id_of(carrier))
        return carrier

    def causeless(self) -> object:
        """Words in a task that there never was."""
        missing = digest(str(self._number()).encode())
        return self._signed(self._author, task.Cancel(), thread=missing, answers=missing)

    def replay(self) -> object:
        """What somebody else said."""
        return self._chance.choice(self.overheard) if self.overheard else self.garbage()

    # --- directly ---

    def progress(self) -> object:
        """Progress of work that nobody awarded."""
        number = self._number()
        body = task.Progress(stage="draft", attempt=1, index=number, tokens=number, offset=0)
        return self._answer(body, to=self._author.did)

    # --- its own ---

    def _number(self) -> int:
        return next(self._numbers) % 9_000 + 1

    def _fresh(self) -> Author:
        return Author(f"{self.address} {self._seed} {next(self._numbers)}")

    def _signed(self, author: Author, body: Record, **fields: Any) -> Json:
        carrier = author.carrier(body, room=self._room, sent_ms=self._now_ms(), **fields)
        decoded = json.loads(carrier)
        assert isinstance(decoded, dict)
        return decoded

    def _announce(self, author: Author) -> Json:
        here = presence.Address(uri=self.address, device=self._device)
        return self._signed(author, samples.announce(author, revision=self._now_ms(), addresses=(here,)))

    def _opened(self, author: Author) -> tuple[Json, str]:
        carrier = self._signed(author, samples.request(samples.stage("draft", "question", kind="echo")))
        return carrier, _id_of(carrier)

    def _answer(self, body: Record, *, to: str, foreign: bool = False, by: Author | None = None) -> object:
        threads = self.foreign_tasks if foreign and self.foreign_tasks else self._tasks
        if not threads:
            return self.request()
        thread = self._chance.choice(threads)
        return self._signed(by or self._author, body, recipients=(to,), thread=thread, answers=thread)


def _id_of(carrier: Json) -> str:
    return digest(signed_bytes(carrier["env"].encode()))


GARBAGE: Sequence[Spam] = (Rogue.garbage, Rogue.forgery, Rogue.depth, Rogue.bulk)
SIGNED: Sequence[Spam] = (
    Rogue.newcomer, Rogue.unbound, Rogue.revocation, Rogue.request, Rogue.nobodys_request, Rogue.award, Rogue.result,
    Rogue.chain, Rogue.causeless, Rogue.replay,
)  # fmt: skip
EVERYTHING: Sequence[Spam] = (*GARBAGE, *SIGNED)
