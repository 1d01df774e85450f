"""The store: what was acknowledged is there, whatever happens to the process or the disk."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from bots.errors import StoreError
from bots.store import Entry, Store
from bots.transports import Delivery

NOBODY = 65534


def delivery(number: int, *, event_id: str | None = None, transport: str = "matrix", live: bool = True) -> Delivery:
    return Delivery(
        transport=transport,
        plane="room",
        room="matrix:roomid/abc",
        sender="matrix:u/alice:example.org",
        event_id=f"$event-{number}" if event_id is None else event_id,
        event=f'{{"number":{number}}}',
        received_ms=number,
        live=live,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent" / "store.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store.open(path)
    yield store
    store.close()


def numbers(store: Store) -> list[int]:
    return [item.received_ms for _, item in store.unhandled()]


class TestInbox:
    def test_deliveries_come_back_as_they_were_in_order(self, store: Store) -> None:
        given = [delivery(1), delivery(2, live=False), delivery(3, event_id="")]
        store.commit("matrix", given, "position")
        assert [item for _, item in store.unhandled()] == given
        assert [seq for seq, _ in store.unhandled()] == [1, 2, 3]
        assert store.unhandled(limit=1) == [(1, given[0])]

    def test_an_event_id_is_stored_once_per_transport(self, store: Store) -> None:
        store.commit("matrix", [delivery(1), delivery(1)], "a")
        store.commit("matrix", [delivery(1), delivery(2)], "b")
        store.commit("lan", [delivery(1, transport="lan")], "c")
        assert [(item.transport, item.received_ms) for _, item in store.unhandled()] == [
            ("matrix", 1),
            ("matrix", 2),
            ("lan", 1),
        ]

    def test_direct_messages_have_no_id_and_are_all_stored(self, store: Store) -> None:
        store.commit("matrix", [delivery(1, event_id=""), delivery(1, event_id="")], "a")
        assert numbers(store) == [1, 1]

    def test_positions_are_kept_per_transport(self, store: Store) -> None:
        assert store.position("matrix") is None
        store.commit("matrix", [], "a")
        store.commit("lan", [], "b")
        store.commit("matrix", [], "c")
        assert (store.position("matrix"), store.position("lan")) == ("c", "b")

    def test_handled_deliveries_move_to_the_history(self, store: Store) -> None:
        store.commit("matrix", [delivery(n) for n in range(1, 5)], "a")
        store.handled([1, 3])
        assert numbers(store) == [2, 4]
        assert [item.received_ms for _, item in store.history()] == [1, 3]

    def test_the_history_is_bounded_and_what_is_unhandled_is_not_dropped_for_it(self, path: Path) -> None:
        store = Store.open(path, keep=100)
        store.append([delivery(1)])
        for start in range(2, 3002, 300):
            store.append([delivery(n) for n in range(start, start + 300)])
            store.handled(range(start, start + 300))
        kept = [item.received_ms for _, item in store.history()]
        assert kept == list(range(kept[0], 3002)), "the newest are kept, without a gap"
        assert 100 <= len(kept) <= 100 + 900
        assert numbers(store) == [1]
        store.close()

    def test_subscribers_hear_of_new_deliveries_after_the_commit(self, store: Store) -> None:
        heard: list[int] = []
        store.subscribe(lambda: heard.append(len(store.unhandled())))
        with store.transaction():
            store.append([delivery(1)])
            store.append([delivery(2)])
            assert heard == []
        assert heard == [2, 2]
        store.commit("matrix", [delivery(2)], "nothing new")
        assert heard == [2, 2]


class TestTransactions:
    def test_all_or_nothing(self, store: Store) -> None:
        store.commit("matrix", [delivery(1)], "a")
        called: list[str] = []

        def handle_and_fail() -> None:
            with store.transaction():
                store.handled([1])
                store.outgoing.add("matrix", [Entry(plane="room", room="r", line="answer")], 0)
                store.after_commit(lambda: called.append("committed"))
                raise RuntimeError

        with pytest.raises(RuntimeError):
            handle_and_fail()
        assert numbers(store) == [1]
        assert store.outgoing.counts("matrix") == (0, None, 0)
        assert called == []

    def test_an_inner_transaction_that_fails_takes_only_its_own_writes_along(self, store: Store) -> None:
        with store.transaction():
            store.set_fact("outer", "1")
            with pytest.raises(RuntimeError), store.transaction():
                store.set_fact("inner", "1")
                raise RuntimeError
        assert (store.fact("outer"), store.fact("inner")) == ("1", None)

    def test_an_outer_transaction_that_fails_takes_the_inner_one_along(self, store: Store) -> None:
        def fail() -> None:
            with store.transaction():
                with store.transaction():
                    store.set_fact("inner", "1")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        assert store.fact("inner") is None


class TestFactsAndThreads:
    def test_facts(self, store: Store) -> None:
        assert store.fact("a") is None
        store.set_fact("a", '{"b":1}')
        store.set_fact("a", '{"b":2}')
        assert store.fact("a") == '{"b":2}'

    def test_threads(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bots.store.store.THREADS_KEPT", 3)
        assert store.thread_root("matrix", "task-0") is None
        for number in range(5):
            store.set_thread_root("matrix", f"task-{number}", f"$root-{number}")
        store.set_thread_root("matrix", "task-4", "$other")
        assert [store.thread_root("matrix", f"task-{number}") for number in range(5)] == [
            None,
            None,
            "$root-2",
            "$root-3",
            "$other",
        ]


class TestFile:
    def test_it_survives_closing(self, path: Path) -> None:
        store = Store.open(path)
        store.commit("matrix", [delivery(1)], "a")
        store.close()
        store.close()
        store = Store.open(path)
        assert (numbers(store), store.position("matrix")) == ([1], "a")
        store.close()

    def test_only_the_owner_can_read_it(self, path: Path) -> None:
        old = os.umask(0)
        try:
            store = Store.open(path)
        finally:
            os.umask(old)
        store.set_fact("a", "1")
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert {"store.sqlite", "store.sqlite-wal", "store.sqlite.lock"} <= files.keys()
        assert set(files.values()) == {0o600}
        store.close()

    def test_a_second_agent_is_refused(self, path: Path, store: Store) -> None:
        with pytest.raises(StoreError) as caught:
            Store.open(path)
        assert caught.value.code == "store.locked"
        assert str(os.getpid()) in caught.value.message
        store.close()
        Store.open(path).close()

    def test_a_second_process_is_refused(self, path: Path, store: Store) -> None:
        program = (
            "import sys; from bots.store import Store; from bots.errors import StoreError\n"
            "try: Store.open(sys.argv[1])\n"
            "except StoreError as error: print(error.code)"
        )
        run = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
        assert run.stdout == "store.locked\n"

    def test_use_after_close(self, store: Store) -> None:
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.fact("a")

    def test_a_newer_schema_is_refused(self, path: Path) -> None:
        Store.open(path).close()
        with sqlite3.connect(path) as connection:
            connection.execute("INSERT INTO migrations VALUES (99, 0)")
        connection.close()
        with pytest.raises(StoreError) as caught:
            Store.open(path)
        assert caught.value.code == "store.newer"

    def test_a_file_of_another_program_is_left_alone(self, path: Path) -> None:
        path.parent.mkdir()
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE theirs (a)")
        connection.close()
        with pytest.raises(StoreError) as caught:
            Store.open(path)
        assert caught.value.code == "store.damaged"


class TestTrouble:
    def test_a_full_disk_loses_nothing_that_was_acknowledged(self, path: Path, store: Store) -> None:
        store.commit("matrix", [delivery(1)], "a")
        pages = store._database.value("PRAGMA page_count")
        store._database.execute(f"PRAGMA max_page_count = {pages + 10}")
        with pytest.raises(StoreError) as caught:
            store.commit("matrix", [delivery(n) for n in range(2, 5000)], "b")
        assert caught.value.code == "store.full"
        assert (numbers(store), store.position("matrix")) == ([1], "a")
        store._database.execute("PRAGMA max_page_count = 100000")
        store.commit("matrix", [delivery(2)], "c")
        assert (numbers(store), store.position("matrix")) == ([1, 2], "c")

    def test_a_store_that_turns_read_only(self, store: Store) -> None:
        store.set_fact("a", "1")
        store._database.execute("PRAGMA query_only = ON")
        with pytest.raises(StoreError) as caught:
            store.set_fact("a", "2")
        assert caught.value.code == "store.read_only"
        assert store.fact("a") == "1"

    @pytest.mark.parametrize("what", ["directory", "file", "lock"])
    def test_what_cannot_be_written(self, what: Literal["directory", "file", "lock"], path: Path) -> None:
        Store.open(path).close()
        if what == "directory":
            for file in path.parent.iterdir():
                file.unlink()
        elif what == "file":
            path.chmod(0o400)
        else:
            path.with_name(path.name + ".lock").chmod(0o400)
        program = (
            "import sys; from bots.store import Store; from bots.errors import StoreError\n"
            "import os; os.setuid(int(sys.argv[2])) if os.getuid() == 0 else None\n"
            "try: Store.open(sys.argv[1])\n"
            "except StoreError as error: print(error.code)"
        )
        if os.getuid() == 0:  # whom no permission stops
            for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
                folder.chmod(0o755)
        path.parent.chmod(0o555)
        run = subprocess.run(
            [sys.executable, "-c", program, path, str(NOBODY)], capture_output=True, text=True, check=True
        )
        path.parent.chmod(0o755)
        assert run.stdout == "store.read_only\n", run.stderr

    def test_no_store_at_all(self, path: Path) -> None:
        path.parent.mkdir()
        path.write_bytes(b"once upon a time" * 1000)
        with pytest.raises(StoreError) as caught:
            Store.open(path)
        assert caught.value.code == "store.damaged"

    def test_a_store_with_overwritten_pages(self, path: Path) -> None:
        store = Store.open(path)
        store.commit("matrix", [delivery(n) for n in range(2000)], "a")
        store.close()
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (path.stat().st_size - 8192))

        def use() -> None:
            store = Store.open(path)
            try:
                store.unhandled()
            finally:
                store.close()

        with pytest.raises(StoreError) as caught:
            use()
        assert caught.value.code == "store.damaged"


CRASHING = """
import itertools, sys
from bots.store import Store
from bots.transports import Delivery
store = Store.open(sys.argv[1])
first = int(store.position("matrix") or 0) + 1
for number in itertools.count(first):
    store.commit("matrix", [Delivery(
        transport="matrix", plane="room", room="r", sender="s", event_id=f"${number}-{part}", event="{}",
        received_ms=number, live=True) for part in range(3)], str(number))
    print(number, flush=True)
"""


def test_a_killed_process_loses_nothing_it_acknowledged(path: Path) -> None:
    acknowledged = 0
    for commits in (1, 7, 40):
        process = subprocess.Popen([sys.executable, "-c", CRASHING, path], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        target = acknowledged + commits
        while acknowledged < target:
            acknowledged = int(process.stdout.readline())
        process.kill()
        rest, _ = process.communicate()
        acknowledged = max([acknowledged, *map(int, rest.split("\n")[:-1])])

        store = Store.open(path)
        position = int(store.position("matrix") or 0)
        assert position >= acknowledged
        assert numbers(store) == [n for n in range(1, position + 1) for _ in range(3)]
        store.close()
        acknowledged = position


class TestDurability:
    """Whether SQLite waits for the disk at a commit: 2 (full) or, with a write-ahead log, 1 (not)."""

    @staticmethod
    def synchronous(store: Store) -> int:
        return int(store._database.value("PRAGMA synchronous"))

    def test_only_where_it_is_said_may_a_power_failure_take_back(self, store: Store) -> None:
        with store.transaction():
            assert (self.synchronous(store), store.durable) == (2, True)
        with store.transaction(durable=False):
            assert (self.synchronous(store), store.durable) == (1, False)
            with store.transaction():
                store.set_fact("inside", "1")
            assert not store.durable
        assert (self.synchronous(store), store.durable) == (2, True)

    def test_a_durable_transaction_stays_durable_inside(self, store: Store) -> None:
        with store.transaction():
            store.commit("matrix", [delivery(1)], "position", durable=False)
            assert (self.synchronous(store), store.durable) == (2, True)

    def test_a_failure_ends_it_too(self, store: Store) -> None:
        with pytest.raises(RuntimeError), store.transaction(durable=False):
            raise RuntimeError
        assert (self.synchronous(store), store.durable) == (2, True)

    def test_what_was_not_durable_outlives_the_process(self, path: Path) -> None:
        script = (
            "import os, pathlib, sys; from bots.store import Store;"
            "store = Store.open(pathlib.Path(sys.argv[1]));\n"
            "with store.transaction(durable=False): store.set_fact('key', '1')\n"
            "os._exit(0)"
        )
        subprocess.run([sys.executable, "-c", script, str(path)], check=True)
        store = Store.open(path)
        assert store.fact("key") == "1"
        store.close()

    def test_the_last_thing_before_a_commit_happens_once_and_inside(self, store: Store) -> None:
        calls: list[str] = []

        def last() -> None:
            calls.append("last")
            store.set_fact("key", "1")

        with store.transaction():
            store.before_commit(last)
            store.before_commit(last)
            assert calls == []
        assert (calls, store.fact("key")) == (["last"], "1")
        with pytest.raises(RuntimeError), store.transaction():
            store.before_commit(last)
            raise RuntimeError
        with store.transaction():
            pass
        assert calls == ["last"]
