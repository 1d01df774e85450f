"""Who plays: agents with keys made from the seed, which are good for nothing else."""

from __future__ import annotations

import random
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET

from clawnet_proto import PROTOCOL_VERSION, base64url
from clawnet_proto.carrier import body_type, sign
from clawnet_proto.envelope import Envelope
from clawnet_proto.families import identity, presence
from clawnet_proto.keys import SigningKey
from clawnet_proto.message import Message
from clawnet_proto.sealing import SealKey
from clawnet_proto.signing import digest
from clawnet_proto.specification import TYPES
from clawnet_proto.wire import Record

_SOFTWARE: Final = "clawnet-synthetic 1"
_CONFIRMED_MOST: Final = 8
_ROTATIONS_MOST: Final = 3

_NAMES: Final = (
    "ada", "bert", "cleo", "dora", "emil", "fay", "gus", "hana", "ivo", "june", "kai", "lena", "milo", "nora",
    "otto", "pia", "quinn", "rosa", "sam", "tess", "udo", "vera", "wim", "xenia", "yara", "zeno", "anouk",
    "boris", "clara", "dev", "elif", "finn", "greta", "hugo", "ines", "joon", "kira", "luca", "mara", "nils",
    "olga", "pavel", "rhea", "sven", "tariq", "ulla",
)  # fmt: skip
_SERVERS: Final = ("one.example", "two.example", "lab.example", "home.example", "library.example")
_REGIONS: Final = ("eu-north", "eu-west", "us-east", "ap-south", "sa-east")


class Role(msgspec.Struct, frozen=True):
    """A part to play: what an agent is and has."""

    name: str
    kind: Literal["human", "ai", "hybrid", "system"]
    description: str
    offers: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    models: int = 1  # how many it runs


class Engine(msgspec.Struct, frozen=True):
    """A model, and how fast its machine runs it."""

    card: presence.ModelCard
    tokens_per_s: int
    compute: presence.Compute


_ROLES: Final = (
    Role("writer", "ai", "Drafts short texts.", ("drafts",), ("reviews",), 2),
    Role("critic", "ai", "Reads drafts and says what is missing.", ("reviews",), ("drafts",)),
    Role("editor", "ai", "Turns drafts and reviews into one text.", ("editing",), ("drafts", "reviews"), 2),
    Role("researcher", "ai", "Knows numbers, and where they come from.", ("facts",), ("questions",), 2),
    Role("gardener", "human", "Asks when the tomatoes look ill.", (), ("answers",), 0),
    Role("tutor", "ai", "Explains things twice, differently.", ("lessons",), ("questions",)),
    Role("coder", "ai", "Small programs and careful changes.", ("code",), ("tests",), 2),
    Role("translator", "hybrid", "A person with a model, both bilingual.", ("translations",), ("texts",)),
    Role("writer", "ai", "Writes in the evening, when power is cheap.", ("drafts",), ("questions",)),
    Role("critic", "ai", "Short sentences, long memory.", ("reviews", "facts"), ()),
    Role("keeper", "system", "Keeps the room's links in order.", ("links",), (), 0),
    Role("generalist", "ai", "Takes whatever nobody else does.", ("answers",), (), 3),
)


def _engine(name: str, size: str, context: int, speed: int, cores: int, memory: int, *gpus: str) -> Engine:
    card = presence.ModelCard(
        name=name, digest=f"sha256:{sha256(name.encode()).hexdigest()}", context_tokens=context, quantization=size,
        kinds=("chat", "generate"),
    )  # fmt: skip
    return Engine(card, speed, presence.Compute(cpu_cores=cores, memory_mib=memory, gpus=gpus or UNSET))


_ENGINES: Final = (
    _engine("gemma3:270m", "Q4_K_M", 8192, 24, 2, 4096),
    _engine("qwen3:4b", "Q4_K_M", 32768, 9, 8, 16384),
    _engine("llama3.1:8b", "Q5_K_M", 32768, 14, 16, 32768, "RTX 3060"),
    _engine("mistral-small:24b", "Q4_K_M", 65536, 12, 24, 65536, "RTX 4090"),
    _engine("phi4-mini", "Q4_0", 16384, 11, 8, 16384),
    _engine("gpt-oss:120b", "MXFP4", 131072, 18, 64, 262144, "H100", "H100"),
)


class Actor:
    """One agent: what it says it is, its keys, and what it has in hand."""

    def __init__(self, name: str, role: Role, server: str, seed: object, chance: random.Random) -> None:
        self.name = name
        self.role = role
        self.user = f"@{name}:{server}"
        self.address = f"matrix:u/{name}:{server}"
        self._secret = f"clawnet synthetic {seed} {name}"
        self.chain: tuple[identity.Link, ...] = ()
        self.key, self._next_key = self._key(0), self._key(1)
        self.did = self.key.did
        self.seal_key = SealKey(self._bytes("seal"))
        self.engines = tuple(chance.sample(_ENGINES, role.models))
        self.region = chance.choice(_REGIONS)
        self.slots = chance.choice((1, 1, 2, 4)) if self.engines else 0
        self._chance = chance
        self._revision = 0
        self.here = False  # announced, and neither gone nor about to go
        self.announced_load = 0
        self.hands = 0  # stages awarded to it and not ended
        self.asking = 0  # its own tasks that have not ended
        self.confirmed: dict[str, presence.Confirmed] = {}  # by did, the most recent last

    def _bytes(self, purpose: str) -> bytes:
        return sha256(f"{self._secret} {purpose}".encode()).digest()

    def _key(self, generation: int) -> SigningKey:
        return SigningKey(self._bytes(f"key {generation}"))

    @property
    def idle(self) -> bool:
        return not self.hands and not self.asking

    @property
    def load(self) -> presence.Load:
        running = min(self.hands, self.slots)
        return presence.Load(running=running, waiting=self.hands - running, slots=self.slots)

    def sign(
        self, now_ms: int, body: Record, *, room: str, to: str = "", thread: str = "", answers: str = "",
        lifetime_ms: int = 0,
    ) -> tuple[bytes, Message]:  # fmt: skip
        """A carrier and the message it holds. It lives as long as its type allows, or ``lifetime_ms``."""
        kind = body_type(body)
        return sign(
            self.key,
            Envelope(
                clawnet=PROTOCOL_VERSION, type=kind, sender=self.did, kid=self.key.did, room=room, sent_ms=now_ms,
                expires_ms=now_ms + (lifetime_ms or TYPES[kind].lifetime_ms),
                nonce=base64url.encode(self._chance.randbytes(16)), body=body, recipients=(to,) if to else UNSET,
                thread=thread or UNSET, answers=answers or UNSET,
            ),
        )  # fmt: skip

    def announce(self, now_ms: int, **changes: Any) -> presence.Announce:
        """The next announce; ``changes`` are told instead of the truth."""
        self._revision = max(now_ms, self._revision + 1)
        self.announced_load = self.hands
        told: dict[str, Any] = {
            "revision": self._revision,
            "name": self.name,
            "kind": self.role.kind,
            "role": self.role.name,
            "description": self.role.description,
            "software": _SOFTWARE,
            "versions": (PROTOCOL_VERSION,),
            "addresses": (presence.Address(uri=self.address, device="CLAW"),),
            "next_key_digest": digest(self._next_key.public),
            "seal_key": self.seal_key.public,
            "capabilities": ("chat", "generate") if self.engines else (),
            "models": tuple(engine.card for engine in self.engines),
            "wants": self.role.wants,
            "offers": self.role.offers,
            "compute": self.engines[0].compute if self.engines else UNSET,
            "region": self.region,
            "load": self.load,
            "limits": presence.Limits(
                open_to="room" if self.engines else "nobody", prompt_bytes=16000, output_tokens=1024,
                tokens_per_minute=12000,
            ),
            "confirmed": tuple(reversed(self.confirmed.values())),
        }  # fmt: skip
        return presence.Announce(**(told | changes))

    def leave(self) -> presence.Leave:
        return presence.Leave(revision=self._revision, reason="The machine is needed for something else.")

    def confirm(self, peer: Actor, now_ms: int, rtt_ms: int) -> None:
        """A handshake with ``peer`` was completed."""
        self.confirmed.pop(peer.did, None)
        self.confirmed[peer.did] = presence.Confirmed(peer=peer.did, at_ms=now_ms, rtt_ms=rtt_ms)
        if len(self.confirmed) > _CONFIRMED_MOST:
            del self.confirmed[next(iter(self.confirmed))]

    @property
    def may_rotate(self) -> bool:
        return len(self.chain) < _ROTATIONS_MOST

    def rotate(self, since_ms: int) -> identity.Rotate:
        """Take the next key into use, and give the word for it."""
        generation = len(self.chain) + 1
        commitment = identity.commit(
            self.key, identity=self.did, generation=generation, following=self._next_key.public
        )
        link = identity.Link(key=self._next_key.did, commitment=commitment, since_ms=since_ms)
        self.chain += (link,)
        self.key, self._next_key = self._next_key, self._key(generation + 1)
        return identity.Rotate(chain=self.chain, next_key_digest=digest(self._next_key.public))


def person(name: str, seed: object, chance: random.Random) -> Actor:
    """Whoever sits at the terminal: asks, and runs nothing."""
    return Actor(name, Role("person", "human", "Watches, and asks now and then.", (), ("answers",), 0),
                 "home.example", seed, chance)  # fmt: skip


def stranger(name: str, seed: object, chance: random.Random) -> Actor:
    """Somebody who means no good."""
    return Actor(name, Role("helper", "ai", "Trust me.", ("everything",), (), 0), "elsewhere.example", seed, chance)


def agents(count: int, seed: object, chance: random.Random) -> list[Actor]:
    """So many agents, each with its own name."""
    cast = []
    for place in range(count):
        again, first = divmod(place, len(_NAMES))
        name = _NAMES[first] + (f"-{again + 1}" if again else "")
        cast.append(Actor(name, _ROLES[place % len(_ROLES)], chance.choice(_SERVERS), seed, chance))
    return cast
