"""The picture as text for other programs, read back by a parser of each language."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from clawnet_proto.families import task
from clawnet_proto.rendering import short
from tests.proto import samples
from tests.proto.authoring import Author
from tests.tui.watched import Errand, Watched
from tui import exports
from tui.views import AgentRow, Counts, EdgeRow, Snapshot

HOSTILE = [
    '"]; evil [label="',
    "back\\",
    '\\"',
    "\\N \\G",
    "</text><script>alert(1)</script>",
    "]]>&amp;<!--",
    "<b>html</b>",
    "a\x1b[2J\u202eb\u200b\x00\ufffe",
    "\nnode -> node",
    "{|}",
    "x" * 64,
    "\U0001f600 ünï 漢字",
]


@pytest.fixture(scope="module")
def errand() -> Errand:
    errand = Errand()
    errand.say(errand.carol, samples.request())  # nobody works on it
    return errand


def hostile(name: str) -> Snapshot:
    """A picture in which every text is this one."""
    row = AgentRow(did="did:key:z6MkA", name=name, role=name, description=name, state="live", models=(name,), slots=2)
    other = msgspec.structs.replace(row, did="did:key:z6MkB", kind="human", state="left")
    edge = EdgeRow(a=row.did, b=other.did, rtt_ms=3, at_ms=0, mutual=True)
    return Snapshot(now_ms=0, room=name, agents=(row, other), edges=(edge,))


# -- SVG -----------------------------------------------------------------------------------------------------------

SVG = "{http://www.w3.org/2000/svg}"


def drawn(text: str) -> ElementTree.Element:
    """The drawing, which asks nothing of anybody else."""
    root = ElementTree.fromstring(text.encode())
    assert root.tag == f"{SVG}svg"
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in (
            "svg", "title", "desc", "defs", "marker", "g", "rect", "text", "line", "circle", "path",
        )  # fmt: skip
        for name, value in element.attrib.items():
            assert not name.lower().startswith("on") and "href" not in name
            assert value == "url(#tip)" or "url" not in value
    return root


def group(root: ElementTree.Element, name: str) -> ElementTree.Element:
    found = root.find(f"{SVG}g[@id='{name}']")
    assert found is not None
    return found


def texts(element: ElementTree.Element) -> list[str]:
    return ["".join(found.itertext()) for found in element.iter(f"{SVG}text")]


class TestTheDrawing:
    def test_has_every_agent_at_its_place(self, errand: Errand) -> None:
        picture = errand.snapshot()
        positions = {row.did: (0.25 * number, 0.5) for number, row in enumerate(picture.agents)}
        nodes = group(drawn(exports.svg(picture, positions)), "agents")
        found = [re.findall(r"[\d.]+", node.attrib["transform"]) for node in nodes]
        across = [float(x) for x, _ in found]
        assert len(across) == len(picture.agents) == 4
        assert across == sorted(across) and len(set(across)) == 4
        assert len({y for _, y in found}) == 1
        assert {"ada", "bob", "carol", "dora (unbound)"} <= set(texts(nodes))

    def test_has_handshakes_and_work_that_runs_and_says_when(self, errand: Errand) -> None:
        root = drawn(exports.svg(errand.snapshot(), {}))
        assert len(group(root, "handshakes")) == 1
        assert texts(group(root, "work")) == [f"draft of {short(errand.task_id)}"]
        assert "2027-01-15 08:00:01 UTC" in " ".join(texts(root))
        assert "3 of 4 agents live" in " ".join(texts(root))

    def test_shows_what_an_agent_does_for_itself(self) -> None:
        watched, ada = Watched(), Author("ada")
        watched.say(ada, samples.announce(ada))
        request = watched.say(ada, samples.request()).message
        assert request is not None
        award = task.Award(stage="draft", attempt=1, lease_ms=30_000)
        watched.say(ada, award, to=ada.did, thread=request.id, answers=request.id)
        work = group(drawn(exports.svg(watched.snapshot(), {ada.did: (0.0, 0.0)})), "work")
        assert len(texts(work)) == 1
        assert work[0].attrib["d"].count("C") == 1

    @pytest.mark.parametrize("name", HOSTILE)
    def test_shows_hostile_text_as_text(self, name: str) -> None:
        root = drawn(exports.svg(hostile(name), {}, title=name))
        shown = " ".join(texts(group(root, "agents")))
        assert all(character.isprintable() for character in "".join(root.itertext()) if character != "\n")
        assert name.split(maxsplit=1)[0][:5].replace("\x1b", "").split("\x00")[0] in shown or "\x1b" in name

    @pytest.mark.parametrize("place", [(float("nan"), 0.5), (0.5, float("inf")), (-3.0, 9.0)])
    def test_stays_on_the_paper(self, place: tuple[float, float]) -> None:
        picture = hostile("ada")
        nodes = group(drawn(exports.svg(picture, {picture.agents[0].did: place})), "agents")
        for node in nodes:
            x, y = map(float, re.findall(r"[-\d.]+", node.attrib["transform"]))
            assert 0 < x < 1200 and 0 < y < 800

    def test_of_nothing_is_a_drawing_too(self) -> None:
        root = drawn(exports.svg(Snapshot(now_ms=0), {}))
        assert len(group(root, "agents")) == 0


class TestTheTerminalPicture:
    PICTURE = """<svg xmlns="http://www.w3.org/2000/svg"><style>
    @font-face { font-family: "Fira Code"; src: local("x"), url("https://cdn.example.org/f.woff2"); }
    @font-face { font-family: "Fira Code"; src: url("https://cdn.example.org/b.woff2"); font-style: bold; }
    .m { font-family: Fira Code, monospace; font-size: 20px; }
    .t { font-family: arial; }
    </style><g clip-path="url(#c)"><text class="m">@font-face { font-family: shown }</text></g></svg>"""

    def test_needs_no_fonts_of_others(self) -> None:
        text = exports.without_web_fonts(self.PICTURE)
        root = ElementTree.fromstring(text)
        style = root.findtext(f"{SVG}style")
        assert style is not None
        assert "url" not in style and "@font-face" not in style and "Fira" not in style and "arial" not in style
        assert style.count("monospace;") == 2 and "font-size: 20px" in style

    def test_keeps_what_is_shown(self) -> None:
        root = ElementTree.fromstring(exports.without_web_fonts(self.PICTURE))
        assert root.findtext(f"{SVG}g/{SVG}text") == "@font-face { font-family: shown }"
        assert root.find(f"{SVG}g[@clip-path='url(#c)']") is not None

    def test_a_real_one_has_no_address_but_its_namespace(self) -> None:
        from rich.console import Console

        console = Console(record=True, width=40, file=io.StringIO())
        console.print("ada <b> & bob")
        raw = console.export_svg(title="ClawNet")
        assert "https://cdn" in raw
        text = exports.without_web_fonts(raw)
        ElementTree.fromstring(text)
        assert not re.search(r"url\(\s*[\"']?(?!#)", text)


@pytest.mark.parametrize("now_ms", [0, 2**53 - 1])
def test_a_clock_may_say_anything(now_ms: int) -> None:
    picture = msgspec.structs.replace(hostile("ada"), now_ms=now_ms)
    drawn(exports.svg(picture, {}))
    graph(exports.dot(picture))


# -- DOT -----------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r'\s+|(?P<string>"(?:[^"\\]|\\["\\])*")|(?P<word>[a-z]+)|(?P<sign>->|[\[\]{};=,])')
Attributes = dict[str, str]


def tokens(text: str) -> Iterator[str]:
    """Words, signs and quoted strings of DOT; a string comes without its quotes, after a quote."""
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        assert found is not None, text[place : place + 40]
        place = found.end()
        if found["string"] is not None:
            yield '"' + re.sub(r'\\(["\\])', r"\1", found["string"][1:-1])
        elif not found[0].isspace():
            yield found[0]


def graph(text: str) -> tuple[dict[str, Attributes], list[tuple[str, str, Attributes]]]:
    """The nodes and edges of a digraph, by a grammar of no more than what is written."""
    stream = tokens(text)

    def want(expected: str) -> None:
        assert next(stream) == expected

    def attributes() -> Attributes:
        found: Attributes = {}
        while True:
            name = next(stream)
            want("=")
            value = next(stream)
            assert name.isalpha() and value[0] == '"' and name not in found
            found[name] = value[1:]
            sign = next(stream)
            assert sign in ",]"
            if sign == "]":
                want(";")
                return found

    nodes: dict[str, Attributes] = {}
    edges: list[tuple[str, str, Attributes]] = []
    assert [next(stream) for _ in range(3)] == ["digraph", "clawnet", "{"]
    while (token := next(stream)) != "}":
        sign = next(stream)
        if token in ("graph", "node", "edge"):
            assert sign == "["
            attributes()
        elif sign == "->":
            end = next(stream)
            want("[")
            edges.append((token[1:], end[1:], attributes()))
        else:
            assert sign == "[" and token[0] == '"' and token[1:] not in nodes
            nodes[token[1:]] = attributes()
    assert next(stream, None) is None
    return nodes, edges


class TestGraphviz:
    def test_has_agents_handshakes_and_work(self, errand: Errand) -> None:
        nodes, edges = graph(exports.dot(errand.snapshot()))
        ada, bob, carol = (nodes[author.did] for author in (errand.ada, errand.bob, errand.carol))
        assert (ada["label"], ada["kind"], ada["role"], ada["state"]) == ("ada", "ai", "writer", "live")
        assert ada["models"] == "gemma3-270m" and bob["models"] == "" and carol["load"] == "1+0/2"
        handshakes = [(a, b, found["label"], found["dir"]) for a, b, found in edges if found["kind"] == "handshake"]
        pair = sorted((errand.ada.did, errand.bob.did))
        assert handshakes == [(pair[0], pair[1], "41 ms", "none")]
        work = [(a, b, found["label"]) for a, b, found in edges if found["kind"] == "work"]
        assert work == [(errand.carol.did, errand.ada.did, f"draft of {short(errand.task_id)}")]
        assert all("dir" not in found for _, _, found in edges if found["kind"] == "work")

    @pytest.mark.parametrize("name", HOSTILE)
    def test_hostile_names_stay_names(self, name: str) -> None:
        nodes, edges = graph(exports.dot(hostile(name)))
        assert list(nodes) == ["did:key:z6MkA", "did:key:z6MkB"] and len(edges) == 1
        label = nodes["did:key:z6MkA"]["label"]
        assert label.isprintable()
        if name.isprintable():
            assert label == name

    def test_nothing_is_a_graph_too(self) -> None:
        assert graph(exports.dot(Snapshot(now_ms=0))) == ({}, [])


# -- JSON ----------------------------------------------------------------------------------------------------------


class TestTheDocument:
    def read(self, watched: Watched, **options: Any) -> dict[str, Any]:
        text = exports.data(watched.snapshot(), watched.model, **options)
        assert text.isascii() and text.replace("\n", "").isprintable()
        found: dict[str, Any] = json.loads(text)
        return found

    def test_has_everything_under_its_keys_in_their_order(self, errand: Errand) -> None:
        found = self.read(errand)
        assert list(found) == [
            "clawtui_snapshot", "at_ms", "room", "me", "agents", "edges", "tasks", "entries", "counts",
        ]  # fmt: skip
        picture = errand.snapshot()
        assert msgspec.convert(found["agents"], tuple[AgentRow, ...]) == picture.agents
        assert msgspec.convert(found["edges"], tuple[EdgeRow, ...]) == picture.edges
        assert msgspec.convert(found["counts"], Counts) == picture.counts
        assert [row["state"] for row in found["tasks"]] == ["submitted", "working"]
        assert found["tasks"][1]["stages"][0]["executor"] == errand.ada.did
        assert exports.data(picture, errand.model) == exports.data(picture, errand.model)

    def test_tells_of_each_line_what_is_known_of_it(self, errand: Errand) -> None:
        entries = self.read(errand)["entries"]
        verdicts = [entry["verdict"] for entry in entries]
        assert verdicts == [*["bound"] * 6, "unsigned", "invalid", "relayed", "unbound", "bound"]
        award = entries[4]
        assert (award["type"], award["name"], award["task"]) == ("task.award", "carol", errand.task_id)
        assert entries[6]["line"] == "Has anybody seen my cat?" and entries[6]["name"] == "lee:example.org"
        assert entries[7]["code"] == "signature.invalid" and entries[7]["sender"] == entries[7]["id"] == ""

    def test_has_the_last_lines_only(self, errand: Errand) -> None:
        assert [entry["type"] for entry in self.read(errand, entries=1)["entries"]] == ["task.request"]
        assert self.read(errand, entries=0)["entries"] == []

    @pytest.mark.parametrize("name", [name for name in HOSTILE if 0 < len(name) <= 64])
    def test_hostile_names_survive_the_way(self, name: str) -> None:
        watched, eve = Watched(), Author("eve")
        watched.say(eve, samples.announce(eve, name=name))
        assert [row["name"] for row in self.read(watched)["agents"]] == [row.name for row in watched.snapshot().agents]
