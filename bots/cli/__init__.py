"""``clawbot``: the commands. This module only reads the command line; each command's module does the work.

Everything heavy is imported once a command is chosen, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from clawnet_proto import __version__

OK, FAILED, USAGE, CANNOT, INTERRUPTED = 0, 1, 2, 3, 130

_EXAMPLES = {
    "": """\
examples:
  clawbot init --name ada --homeserver https://matrix.example.org --user @ada:example.org --room '#clawnet:example.org'
  clawbot run --name ada
  clawbot ask "Why is the sky blue?" --stages draft,critique,revise
  clawbot peers

exit status: 0 done, 1 the task or the verification failed, 2 wrong usage, configuration or keys,
3 the homeserver or the store cannot be used, or the agent cannot do that, 130 interrupted""",
    "init": """\
examples:
  clawbot init --name ada
  clawbot init --name me --kind human --engine none --homeserver https://matrix.example.org --user @me:example.org \\
      --room '#clawnet:example.org'""",
    "run": """\
examples:
  clawbot run --name ada
  clawbot run --homeserver https://matrix.example.org --user @ada:example.org --room '#clawnet:example.org'
  CLAWNET_MATRIX_PASSWORD=... clawbot run --name ada --record today.jsonl
  clawbot run --name ada --health 9464 --log-format json
  clawbot run --name ada --lan
  clawbot run --name ada --activitypub https://agent.example.org

SIGTERM or Ctrl-C stops it politely: what runs is finished within limits.grace_seconds, the rest is handed back.
A second one ends it at once.""",
    "ask": """\
examples:
  clawbot ask "Why is the sky blue?"
  clawbot ask "Why is the sky blue?" --stages draft,critique,revise --trace
  clawbot ask "What do you know of my town?" --private --json""",
    "peers": """\
examples:
  clawbot peers
  clawbot peers --all --json""",
    "discover": """\
examples:
  clawbot discover
  clawbot discover --seconds 10 --json
  clawbot discover --interface wlan0

It needs no agent and no keys. Each node found must prove its key; what is shown of it is signed by that key.

exit status: 0 if somebody is there, 1 if nobody is, 3 if this machine is in no local network""",
    "tasks": """\
examples:
  clawbot tasks
  clawbot tasks 5fJx --json
  clawbot tasks -- -fJx (an id that begins with a dash)""",
    "cancel": "example:\n  clawbot cancel 5fJx",
    "answer": 'example:\n  clawbot answer 5fJx "the second one"',
    "watch": "examples:\n  clawbot watch\n  clawbot watch --json | jq .",
    "status": """\
examples:
  clawbot status
  clawbot status --name ada --json

exit status: 0 if the agent can do its work, 1 if something keeps it from that, 3 if it is not running""",
    "identity": """\
examples:
  clawbot identity show
  clawbot identity rotate --yes
  clawbot identity revoke --yes --reason "the laptop was stolen"

Rotate every now and then, and whenever the key in use may have been copied. Others go on to know the agent as
the same. A revoked identity says nothing more, unless it is rotated.""",
    "verify": """\
examples:
  clawbot verify today.jsonl
  clawbot verify today.jsonl --name ada --json""",
    "audit": """\
examples:
  clawbot audit verify
  clawbot audit verify --head 1230:5Qz0Hn...
  clawbot audit show --since 2h
  clawbot audit show --task 5fJx --json
  clawbot audit verify --folder ./copy --identity did:key:z6Mk...

exit status of verify: 0 intact, 1 not; the first fault is named with its file and line.""",
    "conformance": """\
examples:
  clawbot conformance -- python spec/testees/python/testee.py
  clawbot conformance --class verifier --junit conformance.xml -- ./my-testee --strict
  clawbot conformance --only 'canonical-*' --only sealing --fail-fast -- node testee.mjs
  clawbot conformance --list

exit status: 0 all passed, 1 some did not, 2 wrong usage, vectors that are missing or changed, or a testee that cannot
be started, 3 a testee that gives no answer, 130 interrupted""",
    "actor": """\
examples:
  clawbot actor --name ada
  clawbot actor --activitypub https://agent.example.org --json
  clawbot run --name ada --activitypub https://agent.example.org --follow @bert@agent.example.net

A reverse proxy serves https at that URL, and passes everything on to activitypub.listen (127.0.0.1:8480), with the
header Host as it is. docs/activitypub.md has it step by step.""",
    "hub": """\
examples:
  clawbot hub --directory ./hub
  clawbot hub --directory ./hub --listen 0.0.0.0:443 --url https://hub.example.org --certificate c.pem --key k.pem
  clawbot hub --directory ./hub --listen 127.0.0.1:8700 --url https://hub.example.org --behind-proxy
  curl -N -H 'Accept: text/event-stream' http://127.0.0.1:8700/rooms/clawnet""",
    "bridge": """\
examples:
  clawbot bridge --homeserver https://matrix.example.org --user @bridge:example.org --room '#clawnet:example.org' \\
      --hub https://hub.example.org
  clawbot bridge --lan --hub https://hub.example.org
  CLAWNET_MATRIX_PASSWORD=... clawbot bridge --name north --json --health 9465

The room's home is Matrix if there is a homeserver, else the local network, else the hub. The bridge's account, its
keys and its queue are its own. SIGTERM or Ctrl-C stops it; what is queued goes at the next start.""",
    "homeserver": """\
examples:
  clawbot homeserver --directory ./hs --user ada --user bert --room clawnet
  clawbot homeserver --directory ./hs --json
  clawbot homeserver --directory ./two --federate --user ada --room clawnet""",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="clawbot",
        description="An agent of the ClawNet mesh, and the commands to use it.",
        epilog=_EXAMPLES[""],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"clawbot {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, module: str, help_text: str, *, aliases: Sequence[str] = ()) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=help_text,
            description=help_text[:1].upper() + help_text[1:] + ".",
            epilog=_EXAMPLES[name],
            aliases=list(aliases),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(module=module)
        return sub

    init = command("init", "setup", "write a configuration and make keys for a new agent")
    _agent_options(init)
    run = command("run", "run", "run an agent until Ctrl-C or SIGTERM")
    _agent_options(run)
    run.add_argument("--record", metavar="FILE", help="write a transcript of all that arrives")
    run.add_argument(
        "--log-level",
        default=None,
        choices=("debug", "info", "warning", "error"),
        help="how much to tell on the way (default: info)",
    )
    run.add_argument(
        "--log-format", default=None, choices=("text", "json"), help="for people, or one object a line (default: text)"
    )
    _health_option(run)

    ask = command("ask", "ask", "ask the mesh and stream the answer")
    ask.add_argument("question", help="the question; - reads it from standard input")
    ask.add_argument("--stages", default="answer", help="comma-separated: answer, or draft,critique,revise")
    ask.add_argument("--model", default="", help="only this model")
    ask.add_argument("--to", default="", metavar="PEER", help="ask one peer, by name or did")
    ask.add_argument("--private", action="store_true", help="seal question and answer to the agents that run it")
    ask.add_argument("--max-tokens", type=int, help="most tokens of each stage (default: requests.max_tokens)")
    ask.add_argument("--timeout", type=int, default=900, metavar="SECONDS", help="give up after (default: 900)")
    group = ask.add_argument_group("preferences", "whom you would rather have, if they offer; each repeatable")
    group.add_argument("--prefer-role", action="append", default=[], metavar="ROLE", help="agents with this role")
    group.add_argument("--prefer-model", action="append", default=[], metavar="MODEL", help="agents with this model")
    group.add_argument("--prefer-region", action="append", default=[], metavar="REGION", help="agents in this region")
    group.add_argument("--prefer-peer", action="append", default=[], metavar="PEER", help="this agent, by name or did")
    ask.add_argument("--trace", action="store_true", help="show every message with its signature verdict")
    _session_options(ask)
    peers = command("peers", "look", "show who is there and what they can do")
    peers.add_argument("--all", action="store_true", help="also those who left, expired or are unbound")
    _session_options(peers)
    discover = command("discover", "discover", "find agents on the local network")
    discover.add_argument("--seconds", type=float, default=3.0, help="how long to listen (default: 3)")
    discover.add_argument(
        "--interface", action="append", default=[], metavar="NAME", help="only on this one; repeatable (default: all)"
    )
    discover.add_argument("--json", action="store_true", help="one JSON object a line")
    tasks = command("tasks", "look", "show the tasks of the rooms", aliases=["task"])
    tasks.add_argument("task", nargs="?", default="", help="the beginning of a task id")
    _session_options(tasks)
    cancel = command("cancel", "look", "cancel a task of yours")
    cancel.add_argument("task", help="the beginning of its id")
    _session_options(cancel)
    answer = command("answer", "look", "answer the question a task of yours waits for")
    answer.add_argument("task", help="the beginning of its id")
    answer.add_argument("text")
    _session_options(answer)
    watch = command("watch", "look", "show every message as it comes, with its signature verdict")
    watch.add_argument("--record", metavar="FILE", help="write a transcript (without a running agent)")
    _session_options(watch)
    status = command("status", "look", "show how the agent itself is doing")
    _session_options(status)
    identity = command("identity", "identity", "show the agent's keys, change to the next one, or revoke them all")
    identity.add_argument("action", choices=("show", "rotate", "revoke"), help="what to do")
    identity.add_argument("--yes", action="store_true", help="do not ask before keys are given up")
    identity.add_argument("--reason", default="", help="why it is revoked, for people to read")
    _session_options(identity)

    verify = command("verify", "verify", "check a transcript offline and name every bad line")
    verify.add_argument("file", metavar="FILE")
    verify.add_argument("--name", default=None, metavar="AGENT", help="open what was sealed with this agent's keys")
    verify.add_argument("--json", action="store_true", help="one JSON object a line")
    verify.add_argument("--quiet", action="store_true", help="only the bad lines and the verdict")
    verify.add_argument("--strict", action="store_true", help="fail also if there is anything that was refused")

    audit = command("audit", "audit", "show what the agent did and why, or check that nobody has changed that log")
    audit.add_argument("action", choices=("verify", "show"), help="what to do")
    audit.add_argument("--folder", default=None, metavar="DIR", help="a log elsewhere, for example a copy")
    audit.add_argument("--identity", default="", metavar="DID", help="whose log it must be (default: the agent's)")
    group = audit.add_argument_group("verify")
    group.add_argument("--head", default="", metavar="HEAD", help="what an earlier verify told to keep")
    group = audit.add_argument_group("show")
    group.add_argument("--since", default="", metavar="TIME", help="90s, 30m, 2h, 1d, or a date and time (UTC)")
    group.add_argument("--task", default="", metavar="TASK", help="only of this task: the beginning of its id")
    group.add_argument("-n", dest="last", type=int, default=None, metavar="N", help="the last N (usually 50; 0: all)")
    _session_options(audit)

    conformance = command("conformance", "conformance", "put the protocol's test vectors to a program in any language")
    conformance.usage = "clawbot conformance [OPTION ...] -- CMD [ARG ...]"
    conformance.add_argument(
        "testee", nargs="*", metavar="CMD", help="after --: what starts the program, and arguments"
    )
    conformance.add_argument("--vectors", default=None, metavar="DIR", help="another folder of vectors")
    conformance.add_argument(
        "--class",
        dest="implementation",
        default="executor",
        choices=("verifier", "observer", "requester", "executor"),
        help="what the program is, and so which operations it must support (default: executor, which is all)",
    )
    conformance.add_argument(
        "--only", action="append", default=[], metavar="GLOB", help="only vectors with this id or subject; repeatable"
    )
    conformance.add_argument(
        "--timeout", type=float, default=10, metavar="SECONDS", help="for one answer (default: 10)"
    )
    conformance.add_argument("--fail-fast", action="store_true", help="stop at the first vector that fails")
    conformance.add_argument("--list", action="store_true", help="show the vectors, run nothing")
    conformance.add_argument("--junit", default=None, metavar="FILE", help="write the results as JUnit XML too")
    conformance.add_argument("--json", action="store_true", help="one JSON object a vector, and one for the whole")

    actor = command("actor", "actor", "show the handle by which the fediverse finds the agent")
    _session_options(actor)

    hub = command("hub", "hub", "run a hub: rooms over plain HTTP, for where there is no Matrix")
    hub.add_argument("--directory", required=True, help="where it keeps everything")
    hub.add_argument("--listen", default="127.0.0.1:8700", metavar="ADDRESS:PORT", help="default: 127.0.0.1:8700")
    hub.add_argument("--url", default="", help="what others know it by (default: where it listens)")
    hub.add_argument("--behind-proxy", action="store_true", help="the client is the last address in X-Forwarded-For")
    hub.add_argument("--certificate", default=None, metavar="PEM", help="serve https with this certificate")
    hub.add_argument("--key", default=None, metavar="PEM", help="its key, if it is not in the same file")
    hub.add_argument(
        "--files",
        type=_megabytes,
        default=1024,
        metavar="MB",
        help="space for outputs too long for a message, each kept for a day; 0: none (default: 1024)",
    )
    hub.add_argument("--ban", action="append", default=[], metavar="DID", help="do not serve this key; repeatable")
    hub.add_argument("--json", action="store_true", help="one JSON object once it is ready")

    bridge = command("bridge", "bridge", "carry a room's messages between Matrix, hubs and other transports")
    bridge.add_argument("--name", default=None, help="the bridge (default: CLAWNET_AGENT_NAME, else bridge)")
    bridge.add_argument("--config", default=None, metavar="FILE", help="another configuration file")
    bridge.add_argument("--json", action="store_true", help="one JSON object once it is ready, and one every minute")
    _health_option(bridge)
    group = bridge.add_argument_group("configuration", "each also in the file and as CLAWNET_<SECTION>_<KEY>")
    group.add_argument("--homeserver", default=None, metavar="URL", help="the Matrix server's own address")
    group.add_argument("--user", default=None, metavar="@USER:SERVER", help="the bridge's Matrix account")
    group.add_argument("--room", default=None, metavar="ROOM", help="the room, as its home names it")
    group.add_argument("--hub", default=None, metavar="URL", help="carry it to this hub")
    group.add_argument(
        "--activitypub", default=None, metavar="URL", help="carry it to the fediverse, as an actor there"
    )
    group.add_argument("--lan", action="store_true", help="carry it to the local network")

    homeserver = command("homeserver", "homeserver", "run a Matrix homeserver on this machine, for development")
    homeserver.add_argument("--directory", required=True, help="where it keeps everything")
    homeserver.add_argument("--port", type=int, default=0, help="default: a free one")
    homeserver.add_argument("--federate", action="store_true", help="run two of them that federate with each other")
    homeserver.add_argument("--user", action="append", default=[], metavar="NAME", help="make this account")
    homeserver.add_argument("--room", default=None, metavar="NAME", help="make the public room #NAME")
    homeserver.add_argument("--json", action="store_true", help="one JSON object once it is ready")
    return parser


def _megabytes(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value


def _agent_options(parser: argparse.ArgumentParser) -> None:
    """Which agent, and what of its configuration to set from here."""
    parser.add_argument("--name", default=None, help="the agent (default: CLAWNET_AGENT_NAME, else the only one)")
    parser.add_argument("--config", default=None, metavar="FILE", help="another configuration file")
    group = parser.add_argument_group("configuration", "each also in the file and as CLAWNET_<SECTION>_<KEY>")
    group.add_argument("--homeserver", default=None, metavar="URL", help="the Matrix server's own address")
    group.add_argument("--user", default=None, metavar="@USER:SERVER", help="the agent's Matrix account")
    group.add_argument("--hub", default=None, metavar="URL", help="a hub, in place of a Matrix server or beside it")
    group.add_argument("--room", action="append", default=None, metavar="ROOM", help="alias, id or URI; repeatable")
    group.add_argument(
        "--lan", action="store_true", default=None, help="meet agents on the local network, without any server"
    )
    group.add_argument("--activitypub", default=None, metavar="URL", help="be an actor of the fediverse, at this URL")
    group.add_argument(
        "--follow", action="append", default=None, metavar="@NAME@HOST", help="hear what this actor says; repeatable"
    )
    group.add_argument("--owner", default=None, metavar="@USER:SERVER", help="whose invitations are accepted")
    group.add_argument("--kind", default=None, choices=("human", "ai", "hybrid", "system"), help="what is behind it")
    group.add_argument("--role", default=None, help="one word, e.g. writer")
    group.add_argument(
        "--engine", default=None, choices=("auto", "ollama", "llamacpp", "none"), help="what runs models"
    )
    group.add_argument("--model-path", default=None, metavar="GGUF", help="a model file for llama.cpp")


def _health_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--health",
        type=int,
        default=None,
        metavar="PORT",
        help="tell /health, /ready and /metrics on this port of 127.0.0.1; 0 finds a free one (default: nowhere)",
    )


def _session_options(parser: argparse.ArgumentParser) -> None:
    _agent_options(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    options = _parser().parse_args(arguments)
    from bots.cli.terminal import write_line
    from bots.errors import ClawbotError, ConfigError

    module = importlib.import_module(f"bots.cli.{options.module}")
    try:
        return int(module.main(options))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has gone; Python must not complain about it once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except ConfigError as error:
        write_line(sys.stderr, f"clawbot: {error}")
        return USAGE
    except ClawbotError as error:
        write_line(sys.stderr, f"clawbot: {error}")
        return CANNOT
