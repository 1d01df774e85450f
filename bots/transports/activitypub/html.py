"""Plain text as HTML that servers keep: of all tags they take ``p br span a code pre`` (AP-12)."""

from __future__ import annotations

import html
from collections.abc import Sequence


def from_text(text: str, mentions: Sequence[tuple[str, str]] = ()) -> str:
    """Paragraphs of plain text, escaped, ahead of them links to who is mentioned: (URL, text) each."""
    paragraphs = [html.escape(part.strip("\n"), quote=False) for part in text.split("\n\n") if part.strip()]
    shown = " ".join(_mention(url, name) for url, name in mentions)
    first, *rest = paragraphs or [""]
    lines = [" ".join(part for part in (shown, first) if part), *rest]
    return "".join(f"<p>{line.replace(chr(10), '<br>')}</p>" for line in lines)


def _mention(url: str, name: str) -> str:
    return f'<span class="h-card"><a href="{html.escape(url)}" class="u-url mention">{html.escape(name)}</a></span>'
