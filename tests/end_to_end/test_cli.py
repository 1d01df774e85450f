"""The commands as such: help, exit status, one clear sentence for everything that goes wrong, and no secrets."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bots import cli
from tests.conftest import NewClient, NewRoom
from tests.end_to_end.agent_process import AgentProcess, Finished
from tests.end_to_end.conftest import MODEL, NO_MODEL, NewAgent

COMMANDS = (
    "init", "run", "ask", "peers", "discover", "tasks", "cancel", "answer", "watch", "status", "identity",
    "verify", "hub", "bridge", "homeserver",
)  # fmt: skip
HEAVY = ("aiohttp", "asyncio", "cryptography", "msgspec", "nacl", "nio", "ollama", "sqlite3", "textual", "xllamacpp")
NOWHERE = "http://127.0.0.1:9"  # the port of "discard": nobody listens there
NOBODY = 65534


@pytest.fixture
async def agent(new_agent: NewAgent, new_client: NewClient, new_room: NewRoom) -> AgentProcess:
    """In a room of its own, not running, and without a model."""
    room_id = await new_room(await new_client("founder"))
    return await new_agent("ada", room_id, *NO_MODEL)


def assert_told(finished: Finished, status: int, *words: str) -> None:
    """The last line is one sentence with these words in it; nowhere is there a traceback."""
    assert finished.status == status, finished
    assert "Traceback" not in finished.err
    *_, last = finished.err.splitlines()
    assert last.startswith("clawbot: ")
    for word in words:
        assert word in last


# --- help ---


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_has_examples(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "example" in told
    assert f"clawbot {' '.join(command)}" in told


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import json, sys\nfrom bots import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(json.loads(ran.stderr))
    assert "bots.cli" in loaded
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize("arguments", [(), ("frobnicate",), ("ask",), ("ask", "x", "--frobnicate"), ("verify",)])
def test_wrong_usage(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: clawbot" in capsys.readouterr().err


# --- what can be wrong ---


@pytest.mark.parametrize("command", [("status",), ("peers",), ("run",), ("ask", "Why?")])
async def test_no_agent_is_configured(agent: AgentProcess, command: tuple[str, ...]) -> None:
    agent.config.unlink()
    assert_told(await agent.clawbot(*command), 2, "no homeserver", "`clawbot init`")


async def test_no_configuration_is_needed(agent: AgentProcess, new_client: NewClient, new_room: NewRoom) -> None:
    """``python -m bots.agent`` is ``clawbot run``, and every key has a flag or a variable."""
    agent.config.unlink()
    room_id = await new_room(await new_client("founder"))
    account = agent.account
    flags = ("--homeserver", account.homeserver, "--user", account.user_id, "--room", room_id, "--role", "oracle")
    agent.start(*flags, *NO_MODEL, command=(sys.executable, "-m", "bots.agent"))
    await agent.ready()
    (me,) = await agent.peers()
    assert (me.name, me.role) == (agent.name, "oracle")
    assert await agent.stop() == 0


async def test_an_agent_that_does_not_run(agent: AgentProcess) -> None:
    assert_told(await agent.clawbot("status"), 3, f"{agent.name} is not running", f"clawbot run --name {agent.name}")


async def test_several_agents_and_none_is_named(agent: AgentProcess) -> None:
    assert (await agent.clawbot("init", "--name", "second")).status == 0
    assert_told(await agent.clawbot("status"), 2, "2 agents", f"--name: {agent.name}, second")


@pytest.mark.parametrize(
    "line, words",
    [
        ("[engine]\nfrobnicate = 3", ("unknown key `frobnicate`", "engine")),
        ("[frobnicator]\nslots = 3", ("unknown key `frobnicator`",)),
        ('[engine]\nslots = "three"', ("engine.slots",)),
        ("[limits]\nwaiting = -1", ("limits.waiting",)),
        ("[engine", ("not TOML",)),
    ],
)
async def test_the_configuration_is_wrong(agent: AgentProcess, line: str, words: tuple[str, ...]) -> None:
    agent.config.write_text(line)
    assert_told(await agent.clawbot("run"), 2, str(agent.config), *words)


async def test_the_environment_is_wrong(agent: AgentProcess) -> None:
    assert_told(await agent.clawbot("run", CLAWNET_ENGINE_SLOTS="three"), 2, "slots")


async def test_init_leaves_nothing_behind_that_does_not_fit(agent: AgentProcess) -> None:
    init = ("init", "--name", "second")
    assert_told(await agent.clawbot(*init, "--role", "two words"), 2, "agent.role", "one word")
    assert (await agent.clawbot(*init)).status == 0
    assert_told(await agent.clawbot(*init), 2, "exists already", "--name")


async def test_the_homeserver_cannot_be_reached(agent: AgentProcess) -> None:
    for command in (("peers",), ("ask", "Why?")):
        finished = await agent.clawbot(*command, "--homeserver", NOWHERE)
        assert_told(finished, 3, f"The homeserver {NOWHERE} cannot be reached", "Connection refused", "Check")
    # A running agent says so, and waits for it.
    agent.start("--homeserver", NOWHERE)
    await agent.listening()
    await agent.logs("Trying again")
    assert f"The homeserver {NOWHERE} cannot be reached (Connection refused)" in agent.log
    assert await agent.stop() == 0


async def test_the_homeserver_is_none(agent: AgentProcess) -> None:
    assert_told(await agent.clawbot("run", "--homeserver", "example.org"), 2, "'example.org' is no URL", "https://")


async def test_the_password_is_wrong_or_missing(agent: AgentProcess) -> None:
    wrong = await agent.clawbot("run", CLAWNET_MATRIX_PASSWORD="of somebody else")
    assert_told(wrong, 3, f"does not accept this password for {agent.account.user_id}", "Check")
    missing = await agent.clawbot("run", CLAWNET_MATRIX_PASSWORD="")
    assert_told(missing, 3, "no password", "terminal", "CLAWNET_MATRIX_PASSWORD")


async def test_the_room_is_not_there(agent: AgentProcess) -> None:
    server = agent.account.user_id.partition(":")[2]
    name = f"#nowhere:{server}"
    finished = await agent.clawbot("peers", "--room", name)
    assert f"There is no room {name}. Check its name." in finished.err
    assert_told(finished, 3, "No room could be joined", "Check")
    # A running agent may still be invited.
    agent.start("--room", name)
    await agent.logs(f"There is no room {name}")
    assert await agent.stop() == 0


async def test_the_room_is_forbidden(agent: AgentProcess, new_client: NewClient, new_room: NewRoom) -> None:
    room_id = await new_room(await new_client("hermit"), public=False)
    finished = await agent.clawbot("ask", "Why?", "--room", room_id)
    assert f"The room {room_id} cannot be joined" in finished.err
    assert "Ask somebody in it for an invitation" in finished.err
    assert_told(finished, 3, "No room could be joined", "invited")


async def test_the_room_is_no_room(agent: AgentProcess) -> None:
    assert_told(await agent.clawbot("run", "--room", "lobby"), 2, "'lobby' is no Matrix room", "#lobby:")


async def test_the_model_file_is_missing(agent: AgentProcess) -> None:
    """The agent takes part without a model, and says why it has none."""
    agent.start(*MODEL, "--model-path", "/no/model.gguf")
    await agent.logs("There is no model file /no/model.gguf. Give the path of a GGUF file")
    await agent.listening()
    status = await agent.status()
    assert status is not None
    assert status.engine == "llamacpp failed: There is no model file /no/model.gguf."
    assert await agent.stop() == 0


async def test_two_agents_on_one_store(agent: AgentProcess) -> None:
    agent.start()
    await agent.ready()
    finished = await agent.clawbot("run")
    assert_told(finished, 3, f"is in use by process {agent.pid}", "Stop that agent first")
    assert (await agent.ready()).online


async def test_the_state_cannot_be_written(agent: AgentProcess) -> None:
    assert_told(await agent.clawbot("run", XDG_STATE_HOME=str(agent.config)), 2, "cannot be made")
    # As one who owns it all, but may not write there; root may write everywhere, so it is somebody else.
    program = (
        "import encodings.ascii, encodings.idna, os, sys\n"
        "import bots.opening, bots.cli.run, bots.transports.matrix.transport\n"
        f"os.setuid({NOBODY}) if os.getuid() == 0 else None\n"
        "sys.exit(bots.cli.main(['run']))"
    )
    folders = [folder for folder, _, _ in os.walk(agent.home)]
    files = [os.path.join(folder, name) for folder, _, names in os.walk(agent.home) for name in names]  # noqa: PTH118
    if os.getuid() == 0:
        for path in (*folders, *files):
            os.chown(path, NOBODY, NOBODY)
        for parent in agent.home.parents:
            if parent.is_relative_to(tempfile.gettempdir()):
                parent.chmod(parent.stat().st_mode | 0o055)
    agent.state.chmod(0o500)
    ran = subprocess.run(  # noqa: PLW1510 - its status is what we look at
        [sys.executable, "-c", program], env=agent.environment, cwd="/", capture_output=True, text=True, timeout=60
    )
    agent.state.chmod(0o700)
    assert_told(Finished(ran.returncode, ran.stdout, ran.stderr), 3, "cannot be written", "Check who owns it")


async def test_a_transcript_is_never_written_over(agent: AgentProcess) -> None:
    there = agent.home / "there.jsonl"
    there.write_text("of somebody else")
    assert_told(await agent.clawbot("run", "--record", str(there)), 2, f"{there} exists already", "Name a file")
    assert there.read_text() == "of somebody else"
    nowhere = agent.home / "no" / "such" / "folder.jsonl"
    assert_told(await agent.clawbot("run", "--record", str(nowhere)), 2, f"{nowhere} cannot be written")


async def test_a_transcript_cannot_be_read(agent: AgentProcess) -> None:
    assert_told(await agent.clawbot("verify", "nowhere.jsonl"), 2, "nowhere.jsonl cannot be read")
    assert_told(await agent.clawbot("verify", "."), 2, "cannot be read")
    for content in (b"", b"\x00\xff\xfe\n" * 3, b"{}\n", b'{"a":' * 10_000):
        (agent.home / "odd.jsonl").write_bytes(content)
        finished = await agent.clawbot("verify", "odd.jsonl")
        assert finished.status == 1, finished
        assert finished.out.startswith("line 1: damaged")
        assert finished.err == ""


@pytest.mark.parametrize(
    "options, words",
    [
        (("  ",), ("question is empty",)),
        (("Why?", "--max-tokens", "0"), ("--max-tokens",)),
        (("Why?", "--stages", "frobnicate"), ("no stage frobnicate", "draft")),
        (("Why?", "--stages", "revise"), ("revise reads draft, critique",)),
        (("Why?" * 5000,), ("20000 bytes", "16000")),
        (("Why? \udcff",), ("not UTF-8",)),
    ],
)
@pytest.mark.parametrize("beside", [True, False])
async def test_what_cannot_be_asked(
    agent: AgentProcess, options: tuple[str, ...], words: tuple[str, ...], beside: bool
) -> None:
    if beside:
        agent.start()
        await agent.ready()
    assert_told(await agent.clawbot("ask", *options), 2, *words)


async def test_whom_and_what_nobody_knows(agent: AgentProcess) -> None:
    agent.start()
    await agent.ready()
    assert_told(await agent.clawbot("ask", "Why?", "--to", "zoe"), 3, "nobody called zoe", "clawbot peers")
    assert_told(await agent.clawbot("ask", "Why?", "--room", "#x:y"), 3, "not in #x:y", "It is in: ")
    assert_told(await agent.clawbot("cancel", "abcd"), 3, "No open task of ours begins with abcd", "clawbot tasks")
    assert_told(await agent.clawbot("answer", "abcd", "Yes"), 3, "No open task", "clawbot tasks")


# --- secrets ---


async def test_secrets_stay_where_they_belong(new_agent: NewAgent, new_client: NewClient, new_room: NewRoom) -> None:
    room_id = await new_room(await new_client("founder"))
    agent = await new_agent("ada", room_id, *MODEL)
    agent.start("--log-level", "debug")
    await agent.ready()
    session = agent.state / "matrix-session.json"
    token, password = json.loads(session.read_text())["token"], agent.account.password
    keys = [path.read_bytes() for path in (agent.state / "keys").glob("*.key")]
    assert len(keys) == 3

    (worker,) = agent.children
    for pid in (agent.pid, worker):
        shown = Path(f"/proc/{pid}/cmdline").read_bytes()
        assert password.encode() not in shown
        assert token.encode() not in shown
    assert password.encode() not in Path(f"/proc/{worker}/environ").read_bytes()
    assert await agent.stop() == 0

    for path in agent.home.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            assert mode == 0o700 or path.parent in (agent.home, agent.home / ".local"), path
            continue
        content = path.read_bytes()
        assert password.encode() not in content, path
        assert token.encode() not in content or path == session
        if path != agent.log_path:
            assert mode == 0o600, path
        assert not any(key in content for key in keys) or path.parent.name == "keys", path
