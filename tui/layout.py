"""Where the nodes of the mesh lie: a force layout that goes on from where it was, and comes to rest.

Fruchterman and Reingold (1991), in the unit square: all nodes push each other away up to twice the ideal distance,
edges pull. Each node has a heat, the most it may move in one step, which cools: a newcomer comes hot and warms only
what is near it, so the others stay where the person remembers them. A node that leaves moves nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from math import sqrt

_HOT, _WARM, _COLD = 0.12, 0.006, 0.0015  # the most a node moves in a step: a newcomer, those near it, at rest
_COOLING = 0.96
_GRAVITY = 0.3  # towards the middle, so that what has no edges does not drift to the border
_SPREAD = 0.9  # the ideal distance, in units of the space each node would have for itself
_EDGE = 0.02  # nodes keep that far from the border


class Layout:
    """Places of nodes by id, x and y from 0 to 1. The same calls give the same places."""

    def __init__(self) -> None:
        self._index: dict[str, int] = {}
        self._ids: list[str] = []
        self._x: list[float] = []
        self._y: list[float] = []
        self._heat: list[float] = []
        self._links: list[tuple[int, int]] = []
        self._degrees: list[int] = []
        self._edges: set[tuple[str, str]] = set()
        self._pinned: set[str] = set()

    @property
    def settled(self) -> bool:
        """No node would move in a step."""
        return not any(self._heat)

    @property
    def pinned(self) -> frozenset[str]:
        return frozenset(self._pinned)

    def place(self, node: str) -> tuple[float, float]:
        """Raises KeyError for what ``update`` was not told of."""
        index = self._index[node]
        return self._x[index], self._y[index]

    def pin(self, node: str) -> bool:
        """Hold a node where it is, or let it go again. True if it is held now."""
        self._pinned ^= {node} & self._index.keys()
        return node in self._pinned

    def update(self, nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> None:
        """Take over what there is now. Edges to nodes that are not among ``nodes`` do not count."""
        known = set(nodes)
        kept = {(a, b) for a, b in edges if a in known and b in known and a != b}
        newcomers = sorted(known - self._index.keys())
        if newcomers or len(known) != len(self._ids):
            self._renew(known)
            self._admit(newcomers, kept)
        elif kept == self._edges:
            return
        for a, b in kept - self._edges:
            self._warm(self._index[a], _WARM)
            self._warm(self._index[b], _WARM)
        self._edges = kept
        self._links = [(self._index[a], self._index[b]) for a, b in sorted(kept)]
        self._degrees = [0] * len(self._ids)
        for i, j in self._links:
            self._degrees[i] += 1
            self._degrees[j] += 1

    def _renew(self, known: set[str]) -> None:
        """Forget who left."""
        keep = [index for index, node in enumerate(self._ids) if node in known]
        self._ids = [self._ids[index] for index in keep]
        self._x = [self._x[index] for index in keep]
        self._y = [self._y[index] for index in keep]
        self._heat = [self._heat[index] for index in keep]
        self._index = {node: index for index, node in enumerate(self._ids)}
        self._pinned &= known

    def _admit(self, newcomers: Sequence[str], edges: set[tuple[str, str]]) -> None:
        """Place newcomers: in the middle of those neighbours that have a place, else where their id says."""
        neighbours: dict[str, list[int]] = {node: [] for node in newcomers}
        for a, b in sorted(edges):
            for node, other in ((a, b), (b, a)):
                if node in neighbours and other in self._index:
                    neighbours[node].append(self._index[other])
        near = 2 * self._ideal(len(self._ids) + len(newcomers))
        for node in newcomers:
            x, y = _seed(node)
            around = neighbours[node]
            if around:
                # A little of the seed keeps those with the same neighbours apart.
                x = 0.9 * sum(self._x[index] for index in around) / len(around) + 0.1 * x
                y = 0.9 * sum(self._y[index] for index in around) / len(around) + 0.1 * y
            for index in range(len(self._ids)):
                if abs(self._x[index] - x) + abs(self._y[index] - y) < near:
                    self._warm(index, _WARM)
            self._index[node] = len(self._ids)
            self._ids.append(node)
            self._x.append(x)
            self._y.append(y)
            self._heat.append(_HOT)

    def _warm(self, index: int, heat: float) -> None:
        self._heat[index] = max(self._heat[index], heat)

    @staticmethod
    def _ideal(count: int) -> float:
        return _SPREAD / sqrt(max(1, count))

    def step(self) -> bool:
        """Move everything that is not at rest a little. True if something moved."""
        if self.settled:
            return False
        xs, ys, degrees = self._x, self._y, self._degrees
        ideal = self._ideal(len(xs))
        # Towards the middle, then away from each other, then along the edges; forces in units of the ideal distance.
        force_x = [_GRAVITY * (0.5 - x) for x in xs]
        force_y = [_GRAVITY * (0.5 - y) for y in ys]
        reach = 4 * ideal * ideal
        for i, j in self._near(2 * ideal):
            dx, dy = xs[i] - xs[j], ys[i] - ys[j]
            square = dx * dx + dy * dy
            if square < reach:
                push = ideal * (1 / (square + 1e-5) - 1 / reach)
                dx *= push
                dy *= push
                force_x[i] += dx
                force_y[i] += dy
                force_x[j] -= dx
                force_y[j] -= dy
        for i, j in self._links:
            dx, dy = xs[i] - xs[j], ys[i] - ys[j]
            pull = sqrt(dx * dx + dy * dy) / (ideal * (1 + 0.25 * min(degrees[i], degrees[j])))
            dx *= pull
            dy *= pull
            force_x[i] -= dx
            force_y[i] -= dy
            force_x[j] += dx
            force_y[j] += dy
        for index, heat in enumerate(self._heat):
            if heat:
                self._move(index, force_x[index], force_y[index], heat, ideal)
        return True

    def _move(self, index: int, dx: float, dy: float, heat: float, ideal: float) -> None:
        """One node along its force: no farther than its heat, and the less the more edges would overshoot."""
        if self._ids[index] not in self._pinned:
            damping = ideal / (1 + 0.5 * self._degrees[index])
            dx, dy = dx * damping, dy * damping
            length = sqrt(dx * dx + dy * dy)
            if length > heat:
                dx, dy = dx * heat / length, dy * heat / length
            self._x[index] = min(1 - _EDGE, max(_EDGE, self._x[index] + dx))
            self._y[index] = min(1 - _EDGE, max(_EDGE, self._y[index] + dy))
        self._heat[index] = heat * _COOLING if heat > _COLD else 0.0

    def _near(self, reach: float) -> Iterator[tuple[int, int]]:
        """Each pair of nodes of which one may be within reach of the other, by a grid of that width."""
        grid: dict[tuple[int, int], list[int]] = {}
        for index, (x, y) in enumerate(zip(self._x, self._y, strict=True)):
            grid.setdefault((int(x / reach), int(y / reach)), []).append(index)
        for (column, row), here in grid.items():
            there = [
                index
                for offset in ((1, 0), (-1, 1), (0, 1), (1, 1))
                for index in grid.get((column + offset[0], row + offset[1]), ())
            ]
            for order, i in enumerate(here):
                for j in here[order + 1 :]:
                    yield i, j
                for j in there:
                    yield i, j


def _seed(node: str) -> tuple[float, float]:
    digest = blake2b(node.encode("utf-8", "replace"), digest_size=8).digest()
    return (
        0.1 + 0.8 * int.from_bytes(digest[:4], "big") / 2**32,
        0.1 + 0.8 * int.from_bytes(digest[4:], "big") / 2**32,
    )
