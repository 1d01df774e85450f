"""The layout: the same every time, calm when somebody comes or goes, and at rest in the end."""

from __future__ import annotations

import random
import statistics
import time
from math import dist

import pytest

from tui.layout import Layout

Mesh = tuple[list[str], set[tuple[str, str]]]


def mesh(count: int, seed: int = 7) -> Mesh:
    chance = random.Random(seed)
    nodes = [f"did:key:z6Mk{index:04d}" for index in range(count)]
    pairs = (chance.sample(nodes, 2) for _ in range(2 * count)) if count > 1 else ()
    return nodes, {(min(pair), max(pair)) for pair in pairs}


def settle(layout: Layout) -> int:
    steps = 0
    while layout.step():
        steps += 1
        assert steps < 1000
    return steps


def settled(nodes: list[str], edges: set[tuple[str, str]]) -> Layout:
    layout = Layout()
    layout.update(nodes, edges)
    settle(layout)
    return layout


def places(layout: Layout, nodes: list[str]) -> list[tuple[float, float]]:
    return [layout.place(node) for node in nodes]


@pytest.mark.parametrize("count", [1, 2, 12, 60, 300])
def test_everything_comes_to_rest_inside_the_square_with_room_between(count: int) -> None:
    nodes, edges = mesh(count)
    layout = Layout()
    layout.update(nodes, edges)
    assert not layout.settled
    assert settle(layout) < 200
    assert layout.settled
    found = places(layout, nodes)
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in found)
    nearest = min((dist(a, b) for index, a in enumerate(found) for b in found[:index]), default=1.0)
    assert nearest > 0.2 / count**0.5


def test_nothing_moves_any_more_once_it_is_settled() -> None:
    nodes, edges = mesh(40)
    layout = settled(nodes, edges)
    before = places(layout, nodes)
    layout.update(list(reversed(nodes)), set(edges))
    assert layout.settled
    assert not layout.step()
    assert places(layout, nodes) == before


def test_the_same_mesh_gives_the_same_places_in_whatever_order_it_is_told() -> None:
    nodes, edges = mesh(40)
    backwards = settled(list(reversed(nodes)), set(edges))
    assert places(settled(nodes, edges), nodes) == places(backwards, nodes)


@pytest.mark.parametrize("count", [20, 60, 120])
def test_a_newcomer_makes_nobody_jump(count: int) -> None:
    nodes, edges = mesh(count)
    layout = settled(nodes, edges)
    before = places(layout, nodes)
    layout.update([*nodes, "new"], edges | {(nodes[0], "new"), (nodes[1], "new")})
    longest = 0.0
    last = before
    while layout.step():
        now = places(layout, nodes)
        longest = max(longest, *(dist(a, b) for a, b in zip(last, now, strict=True)))
        last = now
    moved = sorted(dist(a, b) for a, b in zip(before, last, strict=True))
    assert longest < 0.02
    assert moved[count // 2] < 0.05
    assert moved[-1] < 0.2


def test_a_newcomer_begins_between_those_it_knows() -> None:
    nodes, edges = mesh(30)
    layout = settled(nodes, edges)
    (x0, y0), (x1, y1) = layout.place(nodes[3]), layout.place(nodes[4])
    layout.update([*nodes, "new"], edges | {(nodes[3], "new"), (nodes[4], "new")})
    assert dist(layout.place("new"), ((x0 + x1) / 2, (y0 + y1) / 2)) < 0.1


def test_who_leaves_moves_nobody() -> None:
    nodes, edges = mesh(30)
    layout = settled(nodes, edges)
    stay = nodes[:10] + nodes[15:]
    before = places(layout, stay)
    layout.update(stay, edges)
    assert layout.settled
    assert places(layout, stay) == before
    with pytest.raises(KeyError):
        layout.place(nodes[12])


def test_a_new_edge_pulls_its_ends_together() -> None:
    nodes, edges = mesh(30)
    layout = settled(nodes, edges)
    found = places(layout, nodes)
    a, b = max(
        ((i, j) for i in range(30) for j in range(i) if (nodes[j], nodes[i]) not in edges),
        key=lambda pair: dist(found[pair[0]], found[pair[1]]),
    )
    layout.update(nodes, edges | {(nodes[b], nodes[a])})
    settle(layout)
    assert dist(layout.place(nodes[a]), layout.place(nodes[b])) < dist(found[a], found[b])


def test_a_pinned_node_stays_while_others_move_and_leaves_its_pin_when_it_goes() -> None:
    nodes, edges = mesh(30)
    layout = Layout()
    layout.update(nodes, edges)
    assert layout.pin(nodes[5])
    before = layout.place(nodes[5])
    settle(layout)
    assert layout.place(nodes[5]) == before
    assert layout.pinned == {nodes[5]}
    assert not layout.pin(nodes[5])
    assert not layout.pin("nobody")
    layout.pin(nodes[5])
    layout.update(nodes[:5], edges)
    assert layout.pinned == frozenset()


def test_edges_to_strangers_and_to_oneself_do_not_count() -> None:
    layout = settled(["a", "b"], {("a", "b"), ("a", "a"), ("b", "nobody")})
    assert places(layout, ["a", "b"]) == places(settled(["a", "b"], {("a", "b")}), ["a", "b"])


def test_nodes_at_one_place_come_apart() -> None:
    layout = settled(["hub"], set())
    names = [f"leaf{index}" for index in range(8)]
    layout.update(["hub", *names], {("hub", name) for name in names})
    settle(layout)
    found = places(layout, names)
    assert min(dist(a, b) for index, a in enumerate(found) for b in found[:index]) > 0.05


def test_a_step_stays_cheap_where_nodes_are_many() -> None:
    costs = {}
    for count in (75, 300):
        layout = Layout()
        layout.update(*mesh(count))
        spent = []
        for _ in range(40):
            started = time.thread_time()
            layout.step()
            spent.append(time.thread_time() - started)
        costs[count] = statistics.median(spent)
    assert costs[300] < 10 * costs[75]  # four times as many nodes; all pairs would be sixteen times the work
