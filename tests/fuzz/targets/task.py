"""Whatever is said of a task, in whatever order, derived or folded: the second derivation has the same outcome."""

from __future__ import annotations

from random import Random

from clawnet_proto.families.task_state import derive
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from tests.fuzz.choices import Choices
from tests.fuzz.mutation import mutated_bytes
from tests.fuzz.talk import Talk
from tests.proto.authoring import ROOM, Author
from tests.proto.conversation import normal
from tests.proto.slow_task import derive_slowly

_ORDER = 24  # the last bytes choose the order


def check(data: bytes) -> None:
    people = [Author(name) for name in ("alice", "bob", "carol")]
    talk = Talk(Choices(data[:-_ORDER]), people)
    talk.say_all()
    request, said = talk.conversation.request, talk.conversation.said
    expected, _ = derive_slowly(request, said)
    order = Choices(data[-_ORDER:])
    assert normal(derive(request, said)) == expected
    assert normal(derive(request, order.shuffled(said))) == expected
    mesh = Mesh(ROOM)
    for message in order.shuffled([request, *said]):
        mesh.add(message, "matrix:u/somebody:example.org")
        if order.below(4) == 3:
            mesh.task(request.id)
    view = mesh.task(request.id)
    assert view is not None
    assert normal(view) == derive_slowly(request, _kept(said))[0]


def _kept(said: list[Message]) -> list[Message]:
    """[FOLD-8]: of the progress of one sender in one attempt, only the newest."""
    progress: dict[tuple[str, str, int], Message] = {}
    for message in said:
        if message.type == "task.progress":
            place = (message.sender, message.body.stage, message.body.attempt)
            older = progress.setdefault(place, message)
            progress[place] = max(older, message, key=lambda message: (message.body.index, message.id))
    return [message for message in said if message.type != "task.progress" or message in progress.values()]


def seeds() -> list[bytes]:
    chance = Random("task")
    return [chance.randbytes(length) for length in (30, 60, 60, 90, 90, 120, 150, 200)]


def mutate(data: bytes, chance: Random, other: bytes) -> bytes:
    return mutated_bytes(data, chance, other)
