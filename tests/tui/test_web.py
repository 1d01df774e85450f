"""clawtui in a browser: who may come in, what a window carries, and that no child outlives it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import select
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from tui.web import WebError
from tui.web.gate import Gate
from tui.web.packets import Cells, clamped, read_browser
from tui.web.serving import MESSAGE_BYTES, WINDOWS, listen

_APP = """
import io, os, sys
from textual.app import App, ComposeResult
from textual.widgets import Static


class Echo(App[None]):
    ENABLE_COMMAND_PALETTE = False

    def compose(self) -> ComposeResult:
        yield Static(f"pid={os.getpid()};")

    def on_resize(self, event) -> None:
        self.query_one(Static).update(f"pid={os.getpid()}; size={event.size.width}x{event.size.height};")

    def on_key(self, event) -> None:
        if event.key == "d":
            self.deliver_text(io.StringIO("a mesh"), save_filename='my "mesh".svg')
        elif event.key == "u":
            self.open_url("https://example.org/")
            self.open_url("javascript:alert(1)")
        elif event.key == "c":
            raise RuntimeError("the app is broken")
        elif event.key == "s":
            os.write(1, b"a stray line")
        elif event.key == "q":
            self.exit()
        else:
            self.query_one(Static).update(f"key={event.key};")


app = Echo()
app.run()
sys.exit(app.return_code)
"""
_DEAF = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sys.stdout.write("__GANGLION__\\n")
import os
sys.stdout.flush()
text = b"pid=%d;" % os.getpid()
os.write(1, b"D" + len(text).to_bytes(4, "big") + text)
while True:
    time.sleep(60)
"""
_PACKETS = """
import os, struct
def write(text):
    os.write(1, b"D" + struct.pack(">I", len(text)) + text)
def read():
    kind, size = struct.unpack(">cI", os.read(0, 5))
    return kind + os.read(0, size)
os.write(1, b"__GANGLION__\\n")
write(b"mode")
first = read()
write(first.ljust(100) + b";")
write(read() + b";")
"""
_BROKEN = 'import sys; print("hello"); sys.exit("clawtui: \\x1b]0;evil\\x07no such room")'


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small apps that the child process may be told to run."""
    for name, text in (("echo_app", _APP), ("deaf_app", _DEAF), ("packets_app", _PACKETS), ("broken_app", _BROKEN)):
        (tmp_path / f"{name}.py").write_text(text)
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(root), str(tmp_path))))


class Browser:
    """A client with cookies, as far as the door."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.origin = url.partition("/?")[0]
        self.http = http
        self.place = ""

    async def enter(self) -> str:
        """Show the token: the page."""
        async with self.http.get(self.url) as answer:
            self.place = str(answer.url)
            return await answer.text()

    async def window(self, **headers: str) -> aiohttp.ClientWebSocketResponse:
        headers = {"Origin": self.origin, **headers}
        return await self.http.ws_connect(f"{self.place}ws?width=90&height=30", headers=headers)


@contextlib.asynccontextmanager
async def served(module: str = "echo_app") -> AsyncIterator[tuple[Browser, asyncio.Event]]:
    said: asyncio.Queue[str] = asyncio.Queue()
    stopped = asyncio.Event()
    command = (sys.executable, "-P", "-m", "tui.web.child", module)
    server = asyncio.create_task(listen(command, 0, said.put_nowait, stopped))
    jar = aiohttp.CookieJar(unsafe=True)  # unsafe: cookies of an address without a name
    try:
        url = re.findall(r"http://\S+", await said.get())[0]
        async with aiohttp.ClientSession(cookie_jar=jar) as http:
            yield Browser(url, http), stopped
    finally:
        stopped.set()
        await server


async def drawn(window: aiohttp.ClientWebSocketResponse, pattern: str) -> str:
    """Read until what was drawn matches: the first group."""
    seen = ""
    async for message in window:
        if message.type is aiohttp.WSMsgType.BINARY:
            seen += message.data.decode()
        if found := re.search(pattern, seen):
            return found[1]
    raise AssertionError(f"the window ended: {seen!r}")


async def told(window: aiohttp.ClientWebSocketResponse) -> Any:
    """The next message that is not drawn."""
    async for message in window:
        if message.type is aiohttp.WSMsgType.TEXT:
            return json.loads(message.data)
    raise AssertionError("the window ended")


async def ended(window: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in window:
        pass
    assert window.closed


async def child_of(window: aiohttp.ClientWebSocketResponse) -> int:
    """A descriptor of the process behind a window: it becomes readable when the process ends."""
    return os.pidfd_open(int(await drawn(window, r"pid=(\d+);")))


def running(child: int) -> bool:
    return not select.select([child], [], [], 0)[0]


async def gone(child: int) -> None:
    """Wait until the process has ended."""
    readable = asyncio.Event()
    asyncio.get_running_loop().add_reader(child, readable.set)
    try:
        async with asyncio.timeout(20):
            await readable.wait()
    finally:
        asyncio.get_running_loop().remove_reader(child)
        os.close(child)


class TestTheDoor:
    async def test_without_the_token_nothing_is_there(self) -> None:
        async with served() as (browser, _):
            for path in (
                "/",
                "/?token=",
                "/?token=wrong",
                "/?token=%C3%A9",
                "/static/js/textual.js",
                "/ws",
                "/anything",
            ):
                async with browser.http.get(browser.origin + path, allow_redirects=False) as answer:
                    assert answer.status == 403
                    assert "Open the URL that clawtui printed" in await answer.text()
                    assert "Set-Cookie" not in answer.headers

    async def test_the_place_alone_opens_nothing(self) -> None:
        async with served() as (browser, _):
            await browser.enter()
            async with aiohttp.ClientSession() as stranger:
                for path in ("", "page.css", "static/js/textual.js", "ws", "download/key"):
                    async with stranger.get(browser.place + path) as answer:
                        assert answer.status == 403

    async def test_the_token_becomes_a_cookie_and_leaves_the_address(self) -> None:
        async with served() as (browser, _):
            async with browser.http.get(browser.url, allow_redirects=False) as answer:
                assert answer.status == 303
                assert "token" not in answer.headers["Location"]
                cookie = answer.headers["Set-Cookie"]
            assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
            assert f"Path={answer.headers['Location']}" in cookie
            page = await browser.enter()
            assert "textual-terminal" in page and "token" not in browser.place

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", "[::1]", ""])
    async def test_another_name_for_this_machine_is_refused(self, host: str) -> None:
        async with served() as (browser, _):
            await browser.enter()
            for url in (browser.url, browser.place):
                async with browser.http.get(url, headers={"Host": host}) as answer:
                    assert answer.status in (400, 403)
                    assert "textual" not in await answer.text()

    @pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"])
    async def test_another_page_opens_no_window(self, origin: str) -> None:
        async with served() as (browser, _):
            await browser.enter()
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await browser.window(Origin=origin)
            assert refused.value.status == 403
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await browser.http.ws_connect(f"{browser.place}ws")
            assert refused.value.status == 403

    async def test_the_page_loads_nothing_from_elsewhere(self) -> None:
        async with served() as (browser, _):
            page = await browser.enter()
            assert re.findall(r"\w+://[^\"'/]+", page) == [browser.origin.replace("http", "ws")]
            assert "<style" not in page and not re.search(r"<script(?! src=)|\son\w+=|style=", page)
            for path in re.findall(r'(?:src|href)="([^":]+)"', page):
                async with browser.http.get(browser.place + path) as answer:
                    assert answer.status == 200

    async def test_every_answer_says_what_the_browser_may_do(self) -> None:
        async with served() as (browser, _):
            await browser.enter()
            for path in ("", "page.css", "static/js/textual.js", "static/", "nothing"):
                async with browser.http.get(browser.place + path) as answer:
                    policy = answer.headers["Content-Security-Policy"]
                    assert "default-src 'none'" in policy and "script-src 'self';" in policy
                    assert "frame-ancestors 'none'" in policy and "*" not in policy
                    assert answer.headers["X-Frame-Options"] == "DENY"
                    assert answer.headers["Referrer-Policy"] == "no-referrer"
                    assert answer.headers["Cache-Control"] == "no-store"
                    assert answer.headers["X-Content-Type-Options"] == "nosniff"
            async with browser.http.get(browser.place + "static/") as answer:
                assert answer.status == 403 and "Index" not in await answer.text()

    async def test_it_listens_on_loopback_alone_and_says_when_a_port_is_taken(self) -> None:
        async with served() as (browser, _):
            port = int(browser.origin.rpartition(":")[2])
            with pytest.raises(WebError, match="Leave out --port") as refused:
                await listen(("true",), port, lambda _: None, asyncio.Event())
            assert refused.value.code == "web.port"
            with socket.socket() as other, pytest.raises(OSError):
                other.connect(("127.0.0.2", port))

    async def test_what_is_no_request_leaves_no_trace(self, caplog: pytest.LogCaptureFixture) -> None:
        async with served() as (browser, _):
            port = int(browser.origin.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /?token=secret HTTP/1.1\r\nHost: \x00\r\nCookie\x00: secret\r\n\r\n")
            assert b" 400 " in await reader.readline()
            writer.close()
            await browser.enter()
        assert not caplog.records

    def test_port_80_goes_without_saying(self) -> None:
        assert Gate(80).objection_to_host("localhost") == ""
        assert Gate(81).objection_to_host("localhost") != ""


@pytest.mark.usefixtures("modules")
class TestAWindow:
    async def test_it_draws_the_first_frame_and_takes_keys(self) -> None:
        async with served() as (browser, _):
            await browser.enter()
            window = await browser.window()
            assert await drawn(window, r"size=(\w+);") == "90x30"
            await window.send_json(["stdin", "x"])
            assert await drawn(window, r"key=(\w+);") == "x"
            await window.send_json(["ping", "12"])
            assert await told(window) == ["pong", "12"]

    async def test_it_follows_the_size_of_the_window_within_bounds(self) -> None:
        async with served() as (browser, _):
            await browser.enter()
            window = await browser.window()
            await window.send_json(["focus"])
            await window.send_json(["resize", {"width": 10**12, "height": -4}])
            assert await drawn(window, r"size=(400x5);") == "400x5"
        assert clamped(100, 40) == Cells(100, 40)

    async def test_a_size_waits_until_the_app_has_drawn(self) -> None:
        async with served("packets_app") as (browser, _):
            await browser.enter()
            window = await browser.window()
            await window.send_json(["resize", {"width": 100, "height": 40}])
            await window.send_json(["stdin", "x"])
            assert await drawn(window, r"mode(\w+) +;") == "Dx"
            assert json.loads(await drawn(window, r"M(.*);")) == {"type": "resize", "width": 100, "height": 40}

    async def test_the_child_goes_when_the_browser_does(self) -> None:
        async with served() as (browser, _):
            await browser.enter()
            window = await browser.window()
            child = await child_of(window)
            assert running(child)
            await window.close()
            await gone(child)

    async def test_the_window_ends_with_the_app(self) -> None:
        async with served() as (browser, _):
            await browser.enter()
            window = await browser.window()
            await drawn(window, r"(pid)")
            await window.send_json(["stdin", "q"])
            await ended(window)

    @pytest.mark.parametrize(
        "text", ['{"stdin": 1}', "[" * 10_000, '["stdin", "' + "x" * MESSAGE_BYTES + '"]'], ids=len
    )
    async def test_what_no_page_of_ours_sends_ends_the_window_and_its_child(
        self, text: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        async with served() as (browser, _):
            await browser.enter()
            window = await browser.window()
            child = await child_of(window)
            await window.send_str(text)
            await ended(window)
            await gone(child)
            assert await drawn(await browser.window(), r"(pid)") == "pid"
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize(
        "text",
        [
            "no json",
            "[]",
            "null",
            '["stdin"]',
            '["stdin", 1]',
            '["stdin", "\\ud800"]',
            '["stdin", "a", "b"]',
            '["resize", {"width": "80", "height": 24}]',
            '["resize", {"width": 1e999, "height": 24}]',
            '["resize", {"width": null, "height": 24}]',
            '["resize", [80, 24]]',
            '["resize", {"width": 80, "height": 24, "more": ' + "[" * 10_000,
            '["quit"]',
        ],
        ids=lambda text: text[:50],
    )
    def test_it_reads_nothing_but_what_the_page_sends(self, text: str) -> None:
        with pytest.raises(msgspec.MsgspecError):
            read_browser(text)

    async def test_so_many_at_once_and_a_place_is_free_again(self) -> None:
        async with served() as (browser, _):
            await browser.enter()
            windows = [await browser.window() for _ in range(WINDOWS)]
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await browser.window()
            assert refused.value.status == 503
            async with browser.http.get(browser.place) as answer:
                assert answer.status == 503 and "close one of them" in await answer.text()
            child = await child_of(windows[0])
            await windows[0].close()
            await gone(child)
            # A moment passes between the child's end and its place's.
            async with asyncio.timeout(20):
                while (await browser.http.get(browser.place)).status == 503:
                    pass
            assert await drawn(await browser.window(), r"(pid)") == "pid"

    async def test_a_file_is_delivered_below_the_place(self) -> None:
        async with served() as (browser, _):
            await browser.enter()
            window = await browser.window()
            await drawn(window, r"(pid)")
            await window.send_json(["stdin", "d"])
            kind, link = await told(window)
            assert kind == "open_url"
            async with browser.http.get(browser.place + link["url"]) as answer:
                assert await answer.text() == "a mesh"
                assert answer.headers["Content-Disposition"] == 'attachment; filename="my__mesh_.svg"'
            async with browser.http.get(browser.place + link["url"]) as answer:
                assert answer.status == 404

    async def test_only_links_to_the_web_are_opened(self) -> None:
        async with served() as (browser, _):
            await browser.enter()
            window = await browser.window()
            await drawn(window, r"(pid)")
            await window.send_json(["stdin", "u"])
            await window.send_json(["stdin", "d"])
            assert await told(window) == ["open_url", {"url": "https://example.org/", "new_tab": True}]
            assert "download/" in (await told(window))[1]["url"]

    async def test_why_it_ended_is_said_in_the_window(self) -> None:
        async with served("broken_app") as (browser, _):
            await browser.enter()
            window = await browser.window()
            assert await drawn(window, r"clawtui ended: (.*room)") == "clawtui: ]0;evilno such room"
            await ended(window)
        async with served() as (browser, _):
            await browser.enter()
            window = await browser.window()
            await drawn(window, r"(pid)")
            await window.send_json(["stdin", "c"])
            assert await drawn(window, r"clawtui ended: (.*broken)") == "RuntimeError: the app is broken"

    async def test_a_stray_line_among_the_packets_ends_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tui.web.session.GRACE_S", 0.2)
        async with served() as (browser, _):
            await browser.enter()
            window = await browser.window()
            child = await child_of(window)
            await window.send_json(["stdin", "s"])
            await ended(window)
            await gone(child)


@pytest.mark.usefixtures("modules")
class TestTheEnd:
    async def test_stopping_the_server_ends_every_child(self) -> None:
        async with served() as (browser, stopped):
            await browser.enter()
            windows = [await browser.window() for _ in range(2)]
            children = [await child_of(window) for window in windows]
            stopped.set()
            for window in windows:
                await ended(window)
        assert not any(map(running, children))
        for child in children:
            os.close(child)

    async def test_a_child_that_will_not_go_is_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tui.web.session.GRACE_S", 0.2)
        async with served("deaf_app") as (browser, _):
            await browser.enter()
            window = await browser.window()
            child = await child_of(window)
        assert not running(child)
        os.close(child)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
    async def test_a_signal_to_the_server_leaves_no_child(self, number: signal.Signals) -> None:
        program = (
            "import sys; import tui.web as web; web.MODULE = 'echo_app'\n"
            "sys.exit(web.serve(['--any'], port=0, announce=lambda text: print(text, flush=True)))"
        )
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        assert server.stdout is not None and server.stderr is not None
        try:
            url = re.findall(r"http://\S+", (await server.stdout.readline()).decode())[0]
            async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
                browser = Browser(url, http)
                await browser.enter()
                window = await browser.window()
                child = await child_of(window)
                server.send_signal(number)
                assert await server.wait() == (-number if number is signal.SIGKILL else 0)
                await gone(child)
            assert await server.stdout.read() == b"" and await server.stderr.read() == b""
        finally:
            if server.returncode is None:
                server.kill()
                await server.wait()
