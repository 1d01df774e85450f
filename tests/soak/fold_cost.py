"""What one fold takes for each task of a history: the yardstick for the growth of agents, which remember it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from clawnet_proto.packed import Packed


def kb_per_task(messages: Sequence[Message]) -> float:
    """Python's memory for the messages of a room and the states of its tasks, by the number of tasks."""
    if not messages:
        return 0.0
    mesh, packed = Mesh(messages[0].envelope.room), Packed(messages)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for message in packed.unpack():
            mesh.add(message, "")
        tasks = sum(1 for _ in mesh.tasks())
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (after - before) / 1024 / max(1, tasks)
