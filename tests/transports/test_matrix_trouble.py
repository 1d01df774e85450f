"""When the homeserver is away, slow, broken, or will not have us any more."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from bots.errors import ConfigError, Fatal, RetryLater, StoreError
from bots.transports import Parcel
from bots.transports.matrix import session as sessions
from bots.transports.matrix.config import MatrixConfig
from tests.conftest import NewAccount, NewClient, NewRoom
from tests.matrix_client import Account, MatrixClient
from tests.transports.conftest import Front, NewPeer


def answer(status: int, errcode: str = "", **more: object) -> web.Response:
    return web.json_response({"errcode": errcode, "error": "the test says so"} | more, status=status)


async def logged_out(account: Account, token: str) -> None:
    """Somebody ends the session from elsewhere."""
    async with MatrixClient(account) as elsewhere:
        elsewhere.token = token
        await elsewhere.request("POST", "/logout", {})


class TestLogin:
    async def test_a_revoked_token_is_fatal_and_the_next_start_logs_in_anew(
        self, new_peer: NewPeer, front: Front
    ) -> None:
        anna = await new_peer("anna", homeserver=front.url)
        kept = sessions.load(anna.directory)
        assert kept is not None
        await logged_out(anna.account, kept.token)
        with pytest.raises(Fatal) as caught:
            await anna.ended()
        assert caught.value.code == "matrix.logged_out"
        assert "start again" in str(caught.value)
        assert kept.token not in str(caught.value)
        asked = len(front.seen)
        parcel = Parcel(txn="1", plane="room", room="matrix:roomid/a", body="x")
        with pytest.raises(RetryLater):
            await anna.transport.send(parcel)
        assert len(front.seen) == asked, "nothing is tried with a dead token"
        await anna.restart()
        assert anna.asked == 2
        assert anna.transport.device != kept.device

    async def test_a_token_that_died_meanwhile(self, new_peer: NewPeer) -> None:
        anna = await new_peer("anna")
        kept = sessions.load(anna.directory)
        assert kept is not None
        await anna.stop()
        await logged_out(anna.account, kept.token)
        anna.open()
        with pytest.raises(Fatal, match="start again"):
            await anna.transport.connect()

    async def test_a_soft_logout_logs_in_again_once_with_the_same_device(
        self, new_peer: NewPeer, front: Front, new_client: NewClient, new_room: NewRoom
    ) -> None:
        anna = await new_peer("anna", homeserver=front.url)
        kept = sessions.load(anna.directory)
        assert kept is not None

        def fault(request: web.Request) -> web.Response | None:
            dead = request.headers.get("Authorization") == f"Bearer {kept.token}"
            return answer(401, "M_UNKNOWN_TOKEN", soft_logout=True) if dead else None

        front.fault = fault
        alice = await new_client("alice")
        # Two calls meet it at once; the sync that is under way meets it after them.
        rooms = [await new_room(alice), await new_room(alice)]
        await asyncio.gather(*map(anna.transport.join, rooms))
        await anna.until(lambda: len(anna.transport.rooms()) == 2)
        again = sessions.load(anna.directory)
        assert again is not None
        assert (anna.asked, again.device, front.count("/login")) == (2, kept.device, 2)
        assert again.token != kept.token

        # A homeserver that keeps doing this is not fought.
        front.fault = lambda request: answer(401, "M_UNKNOWN_TOKEN", soft_logout=True)
        with pytest.raises(Fatal):
            await anna.transport.join("!other:example.org")
        assert front.count("/login") == 2

    async def test_a_soft_logout_without_a_password(self, new_peer: NewPeer, front: Front) -> None:
        anna = await new_peer("anna", homeserver=front.url)
        anna.password = ""
        front.fault = lambda request: answer(401, "M_UNKNOWN_TOKEN", soft_logout=True)
        with pytest.raises(Fatal) as caught:
            await anna.transport.join("!other:example.org")
        assert caught.value.code == "matrix.password_needed"

    async def test_a_wrong_password(self, new_peer: NewPeer, caplog: pytest.LogCaptureFixture) -> None:
        anna = await new_peer("anna", start=False)
        anna.password = "hunter2hunter2"
        with caplog.at_level(logging.DEBUG), pytest.raises(Fatal) as caught:
            await anna.transport.connect()
        assert caught.value.code == "matrix.wrong_password"
        assert "hunter2hunter2" not in caplog.text + str(caught.value)
        with pytest.raises(Fatal):
            await anna.transport.run()

    async def test_no_password(self, new_peer: NewPeer) -> None:
        anna = await new_peer("anna", start=False)
        anna.password = ""
        with pytest.raises(Fatal, match="no password"):
            await anna.transport.connect()

    async def test_the_login_of_another_account_is_not_used(self, new_peer: NewPeer, new_account: NewAccount) -> None:
        anna = await new_peer("anna")
        other = await new_account("other")
        await anna.stop()
        anna._settings["user"] = other.user_id
        anna.password = other.password
        anna.open()
        await anna.start()
        assert anna.asked == 2

    async def test_a_rate_limit_on_logins(self, new_peer: NewPeer, front: Front) -> None:
        front.fault = lambda request: answer(429, "M_LIMIT_EXCEEDED", retry_after_ms=1234)
        anna = await new_peer("anna", start=False, homeserver=front.url)
        with pytest.raises(RetryLater) as caught:
            await anna.transport.connect()
        assert (caught.value.code, caught.value.after_s) == ("matrix.rate_limited", 1.234)

    @pytest.mark.parametrize(
        "given, code",
        [
            (web.Response(status=404, text="<html>not found</html>"), "matrix.no_homeserver"),
            (web.Response(status=200, text="<html>welcome</html>"), "matrix.no_homeserver"),
            (answer(404, "M_UNRECOGNIZED"), "matrix.no_homeserver"),
            (answer(403, "M_USER_DEACTIVATED"), "matrix.deactivated"),
            (answer(400, "M_UNKNOWN"), "matrix.login_refused"),
        ],
    )
    async def test_no_login_here(self, given: web.Response, code: str, new_peer: NewPeer, front: Front) -> None:
        front.fault = lambda request: given
        anna = await new_peer("anna", start=False, homeserver=front.url)
        with pytest.raises(Fatal) as caught:
            await anna.transport.connect()
        assert caught.value.code == code

    async def test_a_login_that_cannot_be_kept(self, new_peer: NewPeer, tmp_path: Path) -> None:
        anna = await new_peer("anna", start=False)
        (anna.directory / "matrix-session.json").mkdir()
        with pytest.raises(StoreError) as caught:
            await anna.transport.connect()
        assert caught.value.code == "store.session"


class TestAway:
    async def test_unreachable_at_the_start(
        self, new_peer: NewPeer, front: Front, caplog: pytest.LogCaptureFixture
    ) -> None:
        await front.stop()
        anna = await new_peer("anna", start=False, homeserver=front.url)
        with pytest.raises(RetryLater) as caught:
            await anna.transport.connect()
        assert caught.value.code == "matrix.unreachable"
        assert "cannot be reached" in caught.value.message
        with caplog.at_level(logging.INFO, "bots"):
            anna.launch()
            await anna.until(lambda: anna.pauses >= 4)
            await front.start()
            await anna.until(lambda: anna.transport.online)
        assert anna.online == [False, True]
        assert caplog.text.count("cannot be reached") == 1, "said once, not at every try"

    async def test_away_for_a_while(
        self, new_peer: NewPeer, new_client: NewClient, new_room: NewRoom, front: Front
    ) -> None:
        alice = await new_client("alice")
        room_id = await new_room(alice)
        anna = await new_peer("anna", homeserver=front.url)
        room = await anna.join(room_id)
        await front.stop()
        await anna.until(lambda: not anna.transport.online)
        with pytest.raises(RetryLater):
            await anna.transport.send(Parcel(txn="1", plane="room", room=room.uri, body="x"))
        await alice.send_text(room_id, "missed")
        await front.start()
        await anna.until(lambda: anna.transport.online)
        assert await anna.bodies(1) == [("missed", True)]
        assert anna.online == [True, False, True]

    @pytest.mark.parametrize(
        "given",
        [
            answer(500, "M_UNKNOWN"),
            web.Response(status=502, text="<html>bad gateway"),
            web.Response(status=403, text="<html>a proxy says no"),
            web.Response(status=200, text="not json"),
            web.json_response({}),
            answer(429, "M_LIMIT_EXCEEDED", retry_after_ms=5),
        ],
    )
    async def test_a_sync_that_fails_is_tried_again_with_pauses(
        self, given: web.Response, new_peer: NewPeer, front: Front
    ) -> None:
        failed = 0

        def fault(request: web.Request) -> web.Response | None:
            nonlocal failed
            if request.path.endswith("/sync") and failed < 3:
                failed += 1
                return web.Response(status=given.status, body=given.body, content_type=given.content_type)
            return None

        front.fault = fault
        anna = await new_peer("anna", homeserver=front.url)
        assert failed == 3
        assert anna.online == [False, True]

    async def test_a_sync_that_is_refused_is_fatal(self, new_peer: NewPeer, front: Front) -> None:
        front.fault = lambda request: answer(403, "M_FORBIDDEN") if request.path.endswith("/sync") else None
        anna = await new_peer("anna", start=False, homeserver=front.url)
        with pytest.raises(Fatal) as caught:
            await anna.start()
        assert caught.value.code == "matrix.sync_refused"

    async def test_the_store_fills_up(self, new_peer: NewPeer, new_client: NewClient, new_room: NewRoom) -> None:
        alice = await new_client("alice")
        room_id = await new_room(alice)
        anna = await new_peer("anna")
        await anna.join(room_id)
        anna.store._database.execute("PRAGMA query_only = ON")
        await alice.send_text(room_id, "kept at the homeserver")
        with pytest.raises(StoreError):
            await anna.ended()
        await anna.restart()
        assert await anna.bodies(1) == [("kept at the homeserver", True)]


class TestClosing:
    async def test_close_ends_the_run_and_may_be_repeated(self, new_peer: NewPeer) -> None:
        anna = await new_peer("anna")
        await anna.transport.close()
        await anna.ended()
        await anna.transport.close()
        await anna.transport.run()

    async def test_who_cancels_the_run_is_told_so(self, new_peer: NewPeer) -> None:
        anna = await new_peer("anna")
        run = anna._run
        assert run is not None
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run


class TestConfig:
    GOOD = MatrixConfig(homeserver="https://example.org", user="@a:example.org")

    @pytest.mark.parametrize(
        "key, value",
        [
            ("homeserver", "example.org"),
            ("homeserver", "ftp://example.org"),
            ("homeserver", "https://me:secret@example.org"),
            ("user", "a"),
            ("user", "@a"),
            ("user", ""),
            ("owner", "alice"),
            ("rooms", ("lobby",)),
            ("rooms", ("#lobby",)),
        ],
    )
    def test_what_is_wrong_is_named(self, key: str, value: object) -> None:
        self.GOOD.check()
        with pytest.raises(ConfigError) as caught:
            msgspec.structs.replace(self.GOOD, **{key: value}).check()
        assert caught.value.hint
        assert "secret" not in str(caught.value)
