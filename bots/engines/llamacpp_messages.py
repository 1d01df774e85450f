"""What agent and llama.cpp worker say to each other: a JSON object a line, over its stdin and stdout.

The agent sends ``Load`` once, and hears ``Ready`` or ``Unloadable``. Then it sends requests with ids of its
choice, any number at a time; each is answered by any number of ``Piece`` or ``Vector`` and exactly one
of ``Done``, ``Failed``, ``Canceled``.
"""

from __future__ import annotations

import msgspec

from bots.engines import Finish, Message, Sampling


class Load(msgspec.Struct, frozen=True, kw_only=True, tag="load"):
    """Load this model; always the first line."""

    model_path: str
    context_tokens: int  # for each slot
    slots: int
    threads: int
    batch_tokens: int
    mean_pooling: bool  # the model states no pooling of its own
    hideaway: str = ""  # a directory of the worker's own, gone when the model is loaded


class Generate(msgspec.Struct, frozen=True, kw_only=True, tag="generate"):
    id: int
    prompt: str
    sampling: Sampling


class Chat(msgspec.Struct, frozen=True, kw_only=True, tag="chat"):
    id: int
    messages: tuple[Message, ...]
    sampling: Sampling


class Embed(msgspec.Struct, frozen=True, kw_only=True, tag="embed"):
    id: int
    texts: tuple[str, ...]


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Stop request ``id``; it is still answered, by ``Canceled`` if this came in time."""

    id: int


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The model is loaded."""


class Unloadable(msgspec.Struct, frozen=True, tag="unloadable"):
    """The model cannot be loaded; the worker ends."""

    code: str
    message: str
    hint: str = ""


class Piece(msgspec.Struct, frozen=True, tag="piece"):
    """More text, of one or more tokens; never part of a character."""

    id: int
    text: str


class Vector(msgspec.Struct, frozen=True, tag="vector"):
    """The embedding of the next text."""

    id: int
    values: list[float]


class Done(msgspec.Struct, frozen=True, kw_only=True, tag="done"):
    id: int
    finish: Finish = "stop"
    prompt_tokens: int = 0
    output_tokens: int = 0


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    id: int
    code: str
    message: str


class Canceled(msgspec.Struct, frozen=True, tag="canceled"):
    id: int


Request = Generate | Chat | Embed
Command = Load | Generate | Chat | Embed | Cancel
Answer = Piece | Vector | Done | Failed | Canceled
Report = Ready | Unloadable | Answer

# The longest line a worker writes is one embedding: at most some ten thousand numbers of twenty bytes.
MAX_REPORT_BYTES = 1 << 20
