"""The picture of the terminal, as textual draws it, without anything that a browser would have to fetch."""

from __future__ import annotations

import re

_STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)
_FONT_FACE = re.compile(r"@font-face\s*\{[^{}]*\}\s*")
_FAMILY = re.compile(r"font-family:\s*[^;{}]*")
LOCAL_FONTS = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"


def without_web_fonts(svg: str) -> str:
    """The same picture in the fonts of the machine. What the picture shows as text stays as it is."""

    def local(found: re.Match[str]) -> str:
        return _FAMILY.sub(f"font-family: {LOCAL_FONTS}", _FONT_FACE.sub("", found[0]))

    return _STYLE.sub(local, svg, count=1)
