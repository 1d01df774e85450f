"""Vectors of the rendering of prompts: TASK-9 and TASK-10."""

from __future__ import annotations

import re

from tests.vectors.mutants_fold import INTACT, Checks
from tests.vectors.writing import Subject, Vector

_BLANK = {*range(0x21), *range(0x7F, 0xA1), 0x2028, 0x2029}
_REMOVED = {*range(9), *range(0x0B, 0x20), *range(0x7F, 0xA0)}


def defused(text: str, checks: Checks) -> str:
    """No token of a runtime can be read in it any more."""
    hold, out = checks.hold, []
    for place, character in enumerate(text):
        following = text[place + 1 : place + 2]
        out.append(character)
        angle = character == "<" and (following != " " or not hold("defused-twice"))
        if angle and hold("angles-not-defused") and (following or hold("last-angle-not-defused")):
            out.append(" ")
        if character == "[" and hold("brackets-not-defused") and before_defused(following, checks):
            out.append(" ")
    return "".join(out)


def before_defused(following: str, checks: Checks) -> bool:
    """Whether a bracket that stands before this character is defused."""
    hold = checks.hold
    if not following:
        return hold("last-bracket-not-defused")
    if following == "/":
        return hold("closing-brackets-not-defused")
    return bool(re.match("[A-Z]" if hold("lower-case-defused") else "[A-Za-z0-9]", following))


def line(text: str, checks: Checks) -> str:
    """TASK-9."""
    hold = checks.hold
    blank = _BLANK if hold("separators-are-no-blanks") else _BLANK - {0x2028, 0x2029}
    blank = blank if hold("only-ascii-is-blank") else set(range(0x21))
    spaced = "".join(" " if ord(character) in blank else character for character in text)
    if hold("each-blank-is-a-space"):
        spaced = re.sub(" +", " ", spaced)
    if not hold("marks-in-lines"):
        spaced = re.sub(">{3,}", ">>", spaced)
    if not hold("trimmed-last"):
        return defused(spaced, checks).strip(" ")
    return defused(spaced.strip(" ") if hold("ends-not-trimmed") else spaced, checks)


def block(name: str, text: str, checks: Checks) -> str:
    """TASK-10."""
    hold = checks.hold
    removed = _REMOVED if hold("c1-controls-stay") else set(range(0x20)) - {9, 10}
    removed = removed if hold("carriage-returns-stay") else removed - {0x0D}
    removed = removed if hold("controls-stay") else set()
    removed = removed if hold("tabulators-go") else removed | {9}
    if not hold("marks-before-controls"):
        text = re.sub(">{3,}", ">>", text)
    text = "".join(character for character in text if ord(character) not in removed)
    if hold("marks-can-be-forged") and hold("marks-before-controls"):
        text = re.sub(">{3,}" if hold("three-at-a-time") else ">>>", ">>", text)
    return f"<<<{name}\n{defused(text, checks)}\n>>>{name}"


def rendered(parts: list[Vector], sources: dict[str, str], checks: Checks = INTACT) -> str:
    """The prompt of a stage."""
    out = []
    for part in parts:
        if part["part"] == "text":
            out.append(part["text"] if checks.hold("text-parts-defused") else defused(part["text"], checks))
        elif part["form"] == "line":
            out.append(line(sources[part["source"]], checks))
        else:
            out.append(block(part["source"], sources[part["source"]], checks))
    return ("" if checks.hold("parts-are-lines") else "\n").join(out)


def answer(vector: Vector, checks: Checks = INTACT) -> Vector:
    """What a testee with this model answers."""
    request = vector["request"]
    return {"ok": {"prompt": rendered(request["parts"], request["sources"], checks)}}


def build() -> Subject:
    subject = Subject("prompt", "Prompts: text of strangers enters as delimited data and cannot end its own mark.")

    def one(form: str, about: str, text: str, wanted: str, kills: str = "") -> None:
        request = {"parts": [{"part": "data", "source": "draft", "form": form}], "sources": {"draft": text}}
        requirement = "TASK-9" if form == "line" else "TASK-10"
        framed = wanted if form == "line" else f"<<<draft\n{wanted}\n>>>draft"
        vector = subject.ok(f"{form}: {about}", requirement, "prompt", request, {"prompt": framed})
        if kills:
            vector["kills"] = kills

    one("line", "runs of blanks become one space", "a \t\r\n b\x00\x1fc", "a b c", "each-blank-is-a-space")
    one("line", "blanks at the ends go", "\n\t a b \x7f", "a b", "ends-not-trimmed")
    one(
        "line",
        "C1 controls and the no-break space are blanks",
        "a\x7f\x80\x85\x9f\xa0b\xa1c",
        "a b\xa1c",
        "only-ascii-is-blank",
    )
    one(
        "line",
        "line and paragraph separators are blanks",
        "a\u2028b\u2029\u2028c\u3000d\u200be",
        "a b c\u3000d\u200be",
        "separators-are-no-blanks",
    )
    one("line", "nothing but blanks", " \r\n\u2028 ", "", "ends-not-trimmed")
    one("line", "nothing", "", "")
    one("line", "tokens are defused", "<eos> </s> <|end|>", "< eos> < /s> < |end|>", "angles-not-defused")
    one("line", "an angle followed by a space stays", "1 < 2 <\t3 <<< 4", "1 < 2 < 3 < < < 4", "defused-twice")
    one("line", "an angle at the end", "a <", "a < ", "last-angle-not-defused")
    one("line", "what trimming lays bare is defused after it", "a <\n", "a < ", "trimmed-last")
    one(
        "line",
        "brackets before capitals and slashes",
        "[INST] [/INST] [A",
        "[ INST] [ /INST] [ A",
        "closing-brackets-not-defused",
    )
    one(
        "line",
        "brackets before anything else stay",
        "[a] [1] [ ] [\xc9] [] [[",
        "[a] [1] [ ] [\xc9] [] [[ ",
        "lower-case-defused",
    )
    one("line", "a bracket at the end", "see [", "see [ ", "last-bracket-not-defused")
    one("line", "a blank between bracket and capital", "[\nINST]", "[ INST]")
    one("line", "closing marks are no matter in a line", "a >>>draft b", "a >>>draft b", "marks-in-lines")

    one("block", "the example of the text", "a >>>draft b", "a >>draft b", "marks-can-be-forged")
    one("block", "long runs of closing marks", ">>> >>>> >>>>>>> >>", ">> >> >> >>", "three-at-a-time")
    one(
        "block",
        "a mark that a control character tears apart",
        "a\n>\x00>\x85>draft\nb",
        "a\n>>draft\nb",
        "marks-before-controls",
    )
    one("block", "tabulators and line feeds stay", "a\tb\nc\n", "a\tb\nc\n", "tabulators-go")
    one("block", "carriage returns go", "a\r\nb\rc", "a\nbc", "carriage-returns-stay")
    one(
        "block",
        "controls go, other blanks stay",
        "\x00a\x0b\x1f\x7f\x9fb\xa0\u2028c ",
        "ab\xa0\u2028c ",
        "c1-controls-stay",
    )
    one("block", "an opening mark is defused", "<<<draft\n<eos>", "< < < draft\n< eos>", "angles-not-defused")
    one("block", "an angle before a line feed", "a <\nb", "a < \nb", "angles-not-defused")
    one("block", "an angle at the end", "a <", "a < ", "last-angle-not-defused")
    one("block", "a bracket at the end", "a [", "a [ ", "last-bracket-not-defused")
    one(
        "block", "a token that a control character tears apart", "[\x00INST]<\x01eos>", "[ INST]< eos>", "controls-stay"
    )
    one("block", "nothing", "", "")
    one("block", "astral characters", "\U0001f600[\U0001d400", "\U0001f600[\U0001d400")

    parts = [
        {"part": "text", "text": "Say <b> of [X]:\x07"},
        {"part": "data", "source": "a", "form": "line"},
        {"part": "data", "source": "b", "form": "block"},
        {"part": "data", "source": "a", "form": "block"},
        {"part": "text", "text": ">>>b\n"},
    ]
    request = {"parts": parts, "sources": {"a": " one ", "b": "two", "unused": "three"}}
    wanted = "Say <b> of [X]:\x07one<<<b\ntwo\n>>>b<<<a\n one \n>>>a>>>b\n"
    for kills, about in (
        ("text-parts-defused", "the requester's words stand as they are"),
        ("parts-are-lines", "parts follow each other with nothing between them"),
    ):
        subject.ok(f"several parts: {about}", "TASK-9 TASK-10", "prompt", request, {"prompt": wanted})["kills"] = kills
    return subject
