"""What a monitor reads at an agent's or a bridge's health port."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import aiohttp


class Page(NamedTuple):
    """What was answered."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def codes(self) -> list[str]:
        return [problem["code"] for problem in self.json["problems"]]


async def page(url: str, name: str) -> Page:
    """The page of that name: health, ready or metrics."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/{name}") as answer:
        return Page(answer.status, await answer.text())
