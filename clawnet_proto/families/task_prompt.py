"""From a stage's parts and texts to the one prompt they make (spec/08-task.md, "Prompts").

A stranger's text enters a prompt only as delimited data: on one line, or between two marks that it
cannot contain. Runtimes read texts such as ``<eos>`` or ``[INST]`` as single control tokens, wherever they
stand: a blank put into them leaves them text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from clawnet_proto.families.task import DataPart, Stage

_BLANK = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CLOSING = re.compile(r">{3,}")
_CONTROL_TOKEN = re.compile(r"<(?! )|\[(?=[A-Z/]|\Z)")


def render(stage: Stage, texts: Mapping[str, str]) -> str:
    """The prompt of a stage. ``texts`` has the text of each of its sources; KeyError if one is missing."""
    return "".join(
        _delimit(part, texts[part.source]) if isinstance(part, DataPart) else part.text for part in stage.prompt
    )


def _delimit(part: DataPart, text: str) -> str:
    if part.form == "line":
        return _defuse(_BLANK.sub(" ", text).strip(" "))
    clean = _defuse(_CLOSING.sub(">>", _CONTROL.sub("", text)))
    return f"<<<{part.source}\n{clean}\n>>>{part.source}"


def _defuse(text: str) -> str:
    return _CONTROL_TOKEN.sub(lambda found: found.group() + " ", text)
