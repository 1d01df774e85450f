"""The pictures in the documentation are what the code draws now. If they are not: make pictures, and look at them."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from tests.tui.pictures import FOLDER, PICTURES, draw, in_utc

_GUIDE = FOLDER.parent / "clawtui.md"


@pytest.fixture(autouse=True)
def _utc() -> Iterator[None]:
    with in_utc():
        yield


def texts(svg: str) -> list[str]:
    """What stands in a picture, piece by piece."""
    return [piece.replace("\xa0", " ") for piece in ElementTree.fromstring(svg).itertext() if piece.strip()][1:]


@pytest.mark.parametrize("name", PICTURES)
async def test_a_picture_says_what_the_code_says(name: str) -> None:
    kept = (FOLDER / name).read_text("utf-8")
    assert texts(await draw(name)) == texts(kept)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_asks_nothing_of_anybody(name: str) -> None:
    kept = (FOLDER / name).read_text("utf-8")
    fetched = {"image", "use", "script", "link", "foreignObject"}
    assert not fetched & {str(element.tag).rpartition("}")[2] for element in ElementTree.fromstring(kept).iter()}
    assert "@font-face" not in kept and "@import" not in kept and "url(http" not in kept


def test_no_picture_is_left_over_and_all_are_shown() -> None:
    kept = {path.name for path in FOLDER.iterdir()}
    assert kept >= set(PICTURES)
    guide = _GUIDE.read_text("utf-8")
    assert all(f"](pictures/{name})" in guide for name in PICTURES)
    pages = "".join(page.read_text("utf-8") for page in _GUIDE.parent.glob("*.md"))
    assert all(f"](pictures/{name})" in pages for name in kept)
