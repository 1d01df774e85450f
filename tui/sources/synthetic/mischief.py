"""What a room in the open has to bear: strangers who forge, copy, mimic, and choose bad names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec import UNSET

from clawnet_proto import PROTOCOL_VERSION, base64url
from clawnet_proto.carrier import Carrier
from clawnet_proto.families import presence
from clawnet_proto.sealed_carrier import SealedCarrier
from clawnet_proto.signing import signed_bytes
from tui.sources.synthetic.cast import Actor, stranger
from tui.sources.synthetic.play import Play, Scene

_EVERY_MS = (9000.0, 26_000.0)
_NAMES: Final = (
    "\x1b[2J\x1b[31mroot\x07",  # terminal escapes
    "evil\u202egpj.ecin\u202c",  # direction override
    "a\u200bd\u200da\ufeff",  # zero width
    "長い名前" * 16,
    "Z̸̡̢͓͇̭̲̻͚̮̈́̉͊̽͘ͅa̷͌l̶g̴o",
)
_encode = msgspec.json.Encoder().encode


def mischief(play: Play) -> Scene:
    """Now and then one of the tricks, all of them in time."""
    while True:
        tricks = list(_TRICKS)
        play.chance.shuffle(tricks)
        for trick in tricks:
            yield play.chance.uniform(*_EVERY_MS)
            trick(play)


def _tampered(play: Play) -> None:
    """A message of somebody else with another text under the same signature: ``signature.invalid``."""
    if play.latest is None:
        return
    carrier = msgspec.json.decode(play.latest[0], type=Carrier)
    altered = msgspec.structs.replace(carrier, env=carrier.env.replace("demo", "dem0"))
    play.post_raw(_mallory(play), [_encode(altered)], "mallory: nothing to see here")


def _posing(play: Play) -> None:
    """A message in the name of another, signed by the own key: ``carrier.mismatch``."""
    mallory, victim = _mallory(play), play.chance.choice(play.agents)
    _, message = play.say(victim, presence.Leave(revision=play.now_ms))
    env = msgspec.json.Encoder(order="sorted").encode(message.envelope)
    signature = base64url.encode(mallory.key.sign(signed_bytes(env)))
    carrier = Carrier(PROTOCOL_VERSION, mallory.did, env.decode(), signature)
    play.post_raw(mallory, [_encode(carrier)], f"{victim.name}: leaves")


def _replayed(play: Play) -> None:
    """What its author said in another room: ``room.mismatch``."""
    victim = play.chance.choice(play.agents)
    carrier, _ = play.say(victim, victim.announce(play.now_ms), room="matrix:roomid/other:clawnet.example")
    play.post_raw(_mallory(play), [carrier], f"{victim.name}: is here")


def _relayed(play: Play) -> None:
    """A bridge brings what its author never posted here itself."""
    author = play.chance.choice([actor for actor in play.agents if actor.here] or play.agents)
    bridge = stranger("bridge", play.seed, play.chance)
    play.post(bridge, play.say(author, author.announce(play.now_ms)))


def _mimicked(play: Play) -> None:
    """A newcomer who says to be reached at another's address, which it can not prove."""
    victim = play.chance.choice(play.agents)
    mimic = stranger("mimic", play.seed, play.chance)
    addresses = (presence.Address(uri=victim.address),)
    play.post(mimic, play.say(mimic, mimic.announce(play.now_ms, name=victim.name, addresses=addresses)))


def _badly_named(play: Play) -> None:
    """A name that would like to draw on the terminal itself."""
    place = play.chance.randrange(len(_NAMES))
    actor = stranger(f"joker-{place}", play.seed, play.chance)
    play.post(actor, play.say(actor, actor.announce(play.now_ms, name=_NAMES[place], description=UNSET)))


def _unopened(play: Play) -> None:
    """Something sealed to a key that we do not have: ``sealed.unopened``."""
    other = play.chance.choice(play.agents)
    blob = base64url.encode(play.chance.randbytes(600))
    play.direct_raw(_mallory(play), [_encode(SealedCarrier(PROTOCOL_VERSION, other.seal_key.public, blob))])


def _mallory(play: Play) -> Actor:
    return stranger("mallory", play.seed, play.chance)


_TRICKS: Final[Sequence[Callable[[Play], None]]] = (
    _tampered, _posing, _replayed, _relayed, _mimicked, _badly_named, _unopened,
)  # fmt: skip
