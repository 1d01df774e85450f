"""The configuration of an agent: TOML, then environment, then command line; the later wins.

Every key has an environment variable ``CLAWNET_<SECTION>_<KEY>``. Passwords come from a prompt, from
``CLAWNET_MATRIX_PASSWORD`` or the file that ``CLAWNET_MATRIX_PASSWORD_FILE`` names, and are never written anywhere.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bots.errors import ConfigError
from clawnet_proto.wire import Token

Positive = Annotated[int, Meta(ge=1)]
Natural = Annotated[int, Meta(ge=0)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file: a key that is not known is an error."""


class AgentSection(Section, frozen=True, kw_only=True):
    """Who the agent is; all of it is announced."""

    name: Annotated[str, Meta(min_length=1, max_length=64)] = "clawbot"
    kind: Literal["human", "ai", "hybrid", "system"] = "ai"
    role: Token = "generalist"
    description: Annotated[str, Meta(max_length=300)] = ""
    region: Annotated[str, Meta(pattern=r"^([a-z0-9][a-z0-9_.-]{0,63})?\Z")] = ""  # a Token, or not told
    wants: tuple[Token, ...] = ()
    offers: tuple[Token, ...] = ()


class MatrixSection(Section, frozen=True, kw_only=True):
    """The Matrix account and its rooms."""

    homeserver: str = ""
    user: str = ""
    rooms: tuple[str, ...] = ()
    owner: str = ""
    invites_from: tuple[str, ...] = ()
    device_name: str = "clawbot"


class HttpSection(Section, frozen=True, kw_only=True):
    """A hub and its rooms, in place of Matrix or beside it."""

    hub: str = ""
    rooms: tuple[str, ...] = ()


class ActivityPubSection(Section, frozen=True, kw_only=True):
    """An actor of the fediverse."""

    host: str = ""
    name: str = ""
    listen: str = "127.0.0.1:8480"
    follow: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    allow_private: bool = False
    self_check: bool = True


class EngineSection(Section, frozen=True, kw_only=True):
    """The model runtime."""

    use: Literal["auto", "ollama", "llamacpp", "none"] = "auto"
    ollama_host: str = ""
    model_path: str = ""
    context_tokens: Positive = 2048
    slots: Positive = 1
    threads: Natural = 0


class LimitsSection(Section, frozen=True, kw_only=True):
    """What others may ask of this machine."""

    serve: Literal["nobody", "listed", "room"] = "room"
    listed: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    concurrency: Positive = 1
    waiting: Natural = 8
    prompt_bytes: Positive = 16000
    output_tokens: Positive = 512
    tokens_per_minute: Positive = 12000
    tasks_per_minute_address: Positive = 30
    tasks_per_minute_homeserver: Positive = 120
    tasks_per_minute_strangers: Positive = 60
    stage_seconds: Positive = 300
    grace_seconds: Natural = 20
    hops: Natural = 3


class PeopleSection(Section, frozen=True, kw_only=True):
    """Questions people ask in the room."""

    answer: Literal["nobody", "listed", "room"] = "room"
    listed: tuple[str, ...] = ()
    questions_per_minute: Positive = 6
    questions_per_minute_strangers: Positive = 30


class RequestsSection(Section, frozen=True, kw_only=True):
    """How this agent asks others."""

    lease_ms: Annotated[int, Meta(ge=1000, le=3600000)] = 15000
    offer_wait_ms: Positive = 400
    give_up_seconds: Positive = 60
    attempts: Annotated[int, Meta(ge=1, le=100)] = 5
    max_tokens: Annotated[int, Meta(ge=1, le=8192)] = 64


class LanSection(Section, frozen=True, kw_only=True):
    """The local network."""

    enabled: bool = False
    rooms: tuple[str, ...] = ("clawnet",)
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    interfaces: tuple[str, ...] = ()


class TrustSection(Section, frozen=True, kw_only=True):
    """Whose word counts for that of others."""

    bridges: tuple[str, ...] = ()


class LogSection(Section, frozen=True, kw_only=True):
    """What is told on the way."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class HealthSection(Section, frozen=True, kw_only=True):
    """Health and metrics over HTTP."""

    listen: str = ""
    allow_remote: bool = False
    hosts: tuple[str, ...] = ()
    sync_seconds: Positive = 120
    outbox_seconds: Positive = 300
    delivery_seconds: Positive = 3600


class AuditSection(Section, frozen=True, kw_only=True):
    """The log of all that the agent does."""

    enabled: bool = True
    megabytes: Positive = 64


class Config(Section, frozen=True, kw_only=True):
    """The whole file."""

    agent: AgentSection = AgentSection()
    matrix: MatrixSection = MatrixSection()
    http: HttpSection = HttpSection()
    activitypub: ActivityPubSection = ActivityPubSection()
    engine: EngineSection = EngineSection()
    limits: LimitsSection = LimitsSection()
    people: PeopleSection = PeopleSection()
    requests: RequestsSection = RequestsSection()
    lan: LanSection = LanSection()
    trust: TrustSection = TrustSection()
    audit: AuditSection = AuditSection()
    log: LogSection = LogSection()
    health: HealthSection = HealthSection()


def load(path: Path | None, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Config:
    """Read a file (None: defaults only), then the environment, then ``overrides`` by section and key.

    Raises ConfigError naming the key that is unknown or does not fit.
    """
    tables: dict[str, Any] = {}
    if path is not None:
        try:
            tables = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise ConfigError(
                "config.unreadable",
                f"The configuration {path} cannot be read: {error.strerror}.",
                "Run `clawbot init --name NAME` to make one.",
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError("config.syntax", f"{path} is not TOML: {error}.") from None
    for source in (_environment(), overrides or {}):
        for section, values in source.items():
            table = tables.setdefault(section, {})
            if isinstance(table, dict):
                table.update({key: value for key, value in values.items() if value is not None})
    try:
        return msgspec.convert(tables, Config)
    except msgspec.ValidationError as error:
        where = f"{path}" if path is not None else "the configuration"
        raise ConfigError("config.invalid", f"{where}: {_plain(str(error))}.", "See `clawbot init --help`.") from None


def _plain(error: str) -> str:
    """msgspec's sentence, with the key in the file's own words."""
    reason, _, place = error.partition(" - at `$")
    reason = reason.replace("Object contains unknown field", "unknown key")
    if "matching regex" in reason:
        reason = "one word of small letters, digits, dots and dashes is wanted"
    return f"{reason} in {place.strip('.`')}" if place.strip(".`") else reason


def _environment() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for section in msgspec.structs.fields(Config):
        for field in msgspec.structs.fields(section.type):
            text = os.environ.get(f"CLAWNET_{section.name}_{field.name}".upper())
            if text is not None:
                found.setdefault(section.name, {})[field.name] = _typed(text, field.type, field.name)
    return found


def _typed(text: str, kind: Any, name: str) -> Any:
    """A variable's text as its key's type; lists are separated by commas."""
    if "tuple" in str(kind):
        return [item.strip() for item in text.split(",") if item.strip()]
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError("config.invalid", f"The environment variable for {name}: {_plain(str(error))}.") from None


TEMPLATE = """\
# The configuration of a ClawNet agent. Every key can also be set by an environment variable
# CLAWNET_<SECTION>_<KEY>, e.g. CLAWNET_MATRIX_HOMESERVER. Passwords are never kept here:
# clawbot asks for them, or reads CLAWNET_MATRIX_PASSWORD, once, and then keeps the session.

[agent]                      # who you are: all of this is announced in the room
name = {name}
kind = {kind}                # human, ai, hybrid or system
role = {role}                # one word others can look for: writer, critic, coder, ...
description = ""
region = ""                  # e.g. "eu"; empty: not told
wants = []                   # e.g. ["reviews"]
offers = []                  # e.g. ["translation"]

[matrix]
homeserver = {homeserver}    # e.g. "https://matrix.org"
user = {user}                # e.g. "@me:matrix.org"
rooms = {rooms}              # e.g. ["#clawnet:matrix.org"]
owner = {owner}              # whose invitations and commands are always obeyed
invites_from = []            # users or servers whose invitations are accepted

[http]                       # a hub, in place of a Matrix server or beside it: clawbot hub
hub = {hub}                  # e.g. "https://hub.example.org"; empty: Matrix
rooms = {hub_rooms}          # e.g. ["clawnet"]

[activitypub]                # an actor of the fediverse: clawbot actor
host = {actor_host}          # e.g. "https://agent.example.org": a proxy there serves https; empty: none
name = ""                    # in the handle @name@host; empty: the agent's
listen = "127.0.0.1:8480"    # where the proxy finds the agent
follow = {follow}            # whose announces to hear, e.g. ["@ada@agent.example.net"]
rooms = []                   # rooms of other transports that bridges carry here, by URI
blocked = []                 # hosts that nothing is taken from or sent to
allow_private = false        # also http and private addresses: for tests, and networks of your own
self_check = true            # see that others can reach it; false where a machine cannot reach its own address

[engine]
use = {engine}               # auto: Ollama if it answers and has a model, else the embedded llama.cpp; none: no model
ollama_host = ""             # empty: OLLAMA_HOST, else http://127.0.0.1:11434
model_path = {model_path}    # a GGUF file for llama.cpp; empty: the packaged Gemma 3 270M
context_tokens = 2048
slots = 1                    # generations at once
threads = 0                  # 0: chosen for this machine

[limits]                     # what others may ask of this machine
serve = "room"               # nobody, listed, or room: whoever the room lets speak
listed = []                  # users or servers, e.g. ["@friend:example.org", "example.net"]
models = []                  # model names others may use; empty: all
concurrency = 1
waiting = 8                  # awarded work that may wait for a slot
prompt_bytes = 16000
output_tokens = 512
tokens_per_minute = 12000
tasks_per_minute_address = 30
tasks_per_minute_homeserver = 120
tasks_per_minute_strangers = 60   # one pool for everyone not listed
stage_seconds = 300          # a stage that takes longer is stopped
grace_seconds = 20           # for what runs when the agent is stopped; the rest is handed back
hops = 3                     # how far a request may have been passed on from agent to agent

[people]                     # questions people write in the room
answer = "room"              # nobody, listed, or room
listed = []
questions_per_minute = 6     # of one person
questions_per_minute_strangers = 30   # of all people together that are not listed

[requests]                   # how this agent asks others
lease_ms = 15000             # silence after which a stage is awarded to somebody else
offer_wait_ms = 400          # how long to wait for more offers after the first
give_up_seconds = 60         # without any offer
attempts = 5                 # of one stage
max_tokens = 64              # of one stage's output, unless the question says otherwise

[lan]                        # agents on the local network, without any server: clawbot discover
enabled = {lan}
rooms = {lan_rooms}          # e.g. ["clawnet"]
port = 0                     # of this agent's own node; 0: any
interfaces = []              # names or addresses; empty: all networks of this machine

[trust]
bridges = []                 # addresses whose copies of others' messages are acted upon: see clawbot bridge

[audit]                      # a signed log of all that the agent does: clawbot audit
enabled = true
megabytes = 64               # what it may take; the oldest is removed

[log]
level = "info"               # debug, info, warning or error
format = "text"              # text, or json: one object a line

[health]                     # /health, /ready and /metrics over HTTP
listen = ""                  # e.g. "127.0.0.1:9464"; empty: nowhere
allow_remote = false         # whether other machines may ask: there is no password
hosts = []                   # names, beside addresses, that others may call this machine by
sync_seconds = 120           # silence of the homeserver that counts as a failure
outbox_seconds = 300         # how long a message may wait to be sent
delivery_seconds = 3600      # how long a server of the fediverse may take nothing of what is said to it
"""


def template(values: Mapping[str, Any]) -> str:
    """The commented file for ``clawbot init``; ``values`` has what its marks name."""
    return TEMPLATE.format(**{key: msgspec.json.encode(value).decode() for key, value in values.items()})
