"""What is told of servers that do not take what was said to them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp import web

from bots.database import Database, Schema
from bots.errors import StoreError
from bots.transports import Parcel, Undelivered
from bots.transports.activitypub import delivery
from bots.transports.activitypub.contacts import Contact
from bots.transports.activitypub.outgoing import Backlog, Outgoing
from bots.transports.activitypub.schema import SCHEMA
from bots.transports.activitypub.transport import ActivityPubTransport
from tests.agent.virtual_time import until
from tests.transports.activitypub.stranger import PATIENCE_S, Stranger
from tests.transports.resident import Resident
from tests.transports.worlds import Words


def of(resident: Resident) -> ActivityPubTransport:
    assert isinstance(resident.transport, ActivityPubTransport)
    return resident.transport


async def told(resident: Resident, fault: str, waiting: int = 1) -> Undelivered:
    """The only server that something waits for, once so much does and the last try was in vain for this reason."""
    transport = of(resident)
    await until(lambda: [(one.waiting, one.fault) for one in transport.undelivered()] == [(waiting, fault)], PATIENCE_S)
    return transport.undelivered()[0]


def to(stranger: Stranger, txn: str, words: Words) -> Parcel:
    address = stranger.names.actor
    return Parcel(txn=txn, plane="direct", address=address, device="inbox", carriers=(words.carrier(),))


async def test_a_server_that_takes_nothing_is_named_with_its_reason(ada: Resident, eve: Stranger, words: Words) -> None:
    assert of(ada).undelivered() == []
    eve.answer = lambda _: web.Response(status=503)
    for number in range(2):
        await ada.transport.send(to(eve, f"t{number}", words))
    first = await told(ada, "503", 2)
    assert first.server == eve.names.base
    await until(lambda: of(ada).undelivered()[0].oldest_s > first.oldest_s, PATIENCE_S)
    assert first.oldest_s < PATIENCE_S
    eve.answer = lambda _: web.Response(status=202)
    await until(lambda: of(ada).undelivered() == [], PATIENCE_S)


async def test_what_waits_is_told_anew_after_a_restart(ada: Resident, eve: Stranger, words: Words) -> None:
    eve.answer = lambda _: web.Response(status=503)
    await ada.transport.send(to(eve, "t1", words))
    before = await told(ada, "503")
    eve.answer = lambda _: web.Response(status=502)
    await ada.restart()
    after = await told(ada, "502")
    assert after.oldest_s >= before.oldest_s


async def test_an_inbox_that_does_not_believe_us_is_told_while_others_are_served(ada: Resident, eve: Stranger) -> None:
    await until(lambda: of(ada).undelivered() == [], PATIENCE_S)
    bad, good = f"{eve.names.base}/bad", f"{eve.names.base}/good"
    eve.answer = lambda request: web.Response(status=401 if request.path == "/bad" else 202)
    for inbox in (bad, good):
        of(ada)._dispatch.follow(of(ada)._dispatch.name(), Contact(f"{inbox}/actor", "x", inbox))
    await eve.got("Follow")
    assert (await told(ada, "401")).server == eve.names.base


async def test_reasons_are_bounded(ada: Resident, eve: Stranger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_TROUBLE_KEPT", 2)
    await until(lambda: of(ada).undelivered() == [], PATIENCE_S)
    courier = of(ada)._courier
    for number in range(5):
        courier._note(f"{eve.names.base}/{number}", "503")
    assert [courier.trouble(f"{eve.names.base}/{number}") for number in range(5)] == ["", "", "", "503", "503"]


async def test_nothing_is_told_of_an_actor_that_is_closed(ada: Resident) -> None:
    await ada.stop()
    with pytest.raises(StoreError):
        of(ada).undelivered()


def outgoing_of(path: Path, schema: Schema = SCHEMA) -> tuple[Database, Outgoing]:
    database = Database(path, schema)
    return database, Outgoing(database)


def test_each_server_with_the_oldest_that_waits_for_it(tmp_path: Path) -> None:
    database, queue = outgoing_of(tmp_path / "actor.sqlite")
    with closing(database):
        inboxes = {"https://a.example/1": "https://a.example", "https://b.example/1": "https://b.example"}
        queue.add("first", "{}", inboxes, now_ms=1_000, expires_ms=9_000)
        queue.add("second", "{}", {"https://a.example/2": "https://a.example"}, now_ms=2_000, expires_ms=9_000)
        # Made long ago, asked for now.
        queue.add_delivery("first", "https://c.example/1", "https://c.example", 3_000)
        assert queue.backlogs() == [
            Backlog("https://a.example", 2, "https://a.example/1", 1_000),
            Backlog("https://b.example", 1, "https://b.example/1", 1_000),
            Backlog("https://c.example", 1, "https://c.example/1", 3_000),
        ]


def test_what_waited_before_it_was_noted_since_when(tmp_path: Path) -> None:
    path = tmp_path / "actor.sqlite"
    Database(path, Schema(SCHEMA.application_id, SCHEMA.migrations[:1])).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO activities (key, public, announces, answers, made_ms, expires_ms, document)"
            " VALUES ('old', 0, '', '', 1500, 9000, '{}')"
        )
        connection.execute(
            "INSERT INTO deliveries (lane, site, inbox, caused, activity)"
            " VALUES ('https://a.example', 'a.example', 'https://a.example/1', 0, 1)"
        )
    database, queue = outgoing_of(path)
    with closing(database):
        assert queue.backlogs() == [Backlog("https://a.example", 1, "https://a.example/1", 1_500)]
