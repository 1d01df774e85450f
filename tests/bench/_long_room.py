"""One room's messages, a second from one to the next: ``python -m tests.bench._long_room COUNT...`` folds them, says
each count when it is reached, and goes on after a line of input.

Of fifty messages one is forged. A crowd of peers announces itself in turns.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import count, islice

import msgspec

from clawnet_proto import base64url
from clawnet_proto.carrier import sign, verify
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.mesh import Mesh
from tests.bench._mix import mixed
from tests.proto.authoring import NOW_MS, ROOM, Author, some_digest
from tests.proto.samples import announce

# All have announced themselves by the hundred-thousandth message.
_PEERS = 4000
_PEER_EVERY = 25


def _room() -> Iterator[tuple[bytes, str]]:
    """Carriers, each with the address it comes from."""
    author = Author("alice")
    mix = mixed(author)
    # What opens the thread that the others answer in comes first.
    mix.sort(key=lambda envelope: envelope.type != "task.request")
    thread = some_digest("a request before all others")
    for number in count():
        sent_ms = NOW_MS + 1000 * number
        if number % _PEER_EVERY == 0:
            other = Author(f"peer {number // _PEER_EVERY % _PEERS}")
            yield other.carrier(announce(other, revision=number), sent_ms=sent_ms), other.address
            continue
        envelope = mix[number % len(mix)]
        nonce = base64url.encode(number.to_bytes(16, "big"))
        changes = {"nonce": nonce, "sent_ms": sent_ms, "expires_ms": sent_ms + 60_000}
        if envelope.thread is not msgspec.UNSET:
            changes |= {"thread": thread, "answers": thread}
        data, message = sign(author.key, msgspec.structs.replace(envelope, **changes))
        if message.type == "task.request":
            thread = message.id
        yield data.replace(b"nonce", b"other") if number % 50 == 49 else data, author.address


def main() -> None:
    mesh, room, done = Mesh(ROOM), _room(), 0
    for reached in map(int, sys.argv[1:]):
        for data, address in islice(room, reached - done):
            with suppress(RemoteProtocolError):
                mesh.add(verify(data), address)
        done = reached
        print(reached, flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main()
