"""What is on the screen is written to a file."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from clawnet_proto.transcript import Entry, read
from tests.tui.piloted import foot, press, running
from tui.prompt import Prompt


class TestExport:
    @pytest.mark.parametrize("form", ["svg", "dot", "json", "screen", "recording"])
    async def test_every_form_is_written_once(self, form: str, tmp_path: Path) -> None:
        path = tmp_path / "out"
        async with running() as (app, pilot):
            await press(app, pilot, "colon")
            app.query_one(Prompt).query_one("Input").value = f"export {form} {path}"  # type: ignore[attr-defined]
            await press(app, pilot, "enter")
            assert "Written" in foot(app)
            data = path.read_bytes()
            assert path.stat().st_mode & 0o777 == 0o600
            await press(app, pilot, "colon")
            app.query_one(Prompt).query_one("Input").value = f"export {form} {path}"  # type: ignore[attr-defined]
            await press(app, pilot, "enter")
            assert "exists already" in foot(app)
        assert path.read_bytes() == data
        if form in ("svg", "screen"):
            assert ElementTree.fromstring(data) is not None
            assert b"url(http" not in data and b"@font-face" not in data and b"googleapis" not in data
        if form == "json":
            assert len(json.loads(data)["agents"]) == 12
        if form == "recording":
            lines = [record for _, record in read(data.splitlines(keepends=True))]
            assert sum(isinstance(record, Entry) for record in lines) == len(lines) - 1 > 100

    async def test_the_key_begins_the_command(self) -> None:
        async with running() as (app, pilot):
            await press(app, pilot, "e")
            assert app.query_one(Prompt).query_one("Input").value.startswith("export ")  # type: ignore[attr-defined]

    async def test_where_it_cannot_be_written_it_says_so(self, tmp_path: Path) -> None:
        async with running() as (app, pilot):
            await press(app, pilot, "colon")
            words = f"export svg {tmp_path / 'no' / 'where'}"
            app.query_one(Prompt).query_one("Input").value = words  # type: ignore[attr-defined]
            await press(app, pilot, "enter")
            assert "cannot be written" in foot(app)
