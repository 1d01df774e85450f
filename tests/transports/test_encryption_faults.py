"""The file of the keys fails: nothing is said with a key that it does not hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from bots.errors import StoreError
from bots.transports.matrix.encryption_store import FILE, EncryptionStore


def test_after_a_failure_nothing_more_is_done_until_it_is_opened_anew(tmp_path: Path) -> None:
    """A ratchet that went on in memory alone would go the same way twice."""
    store = EncryptionStore(tmp_path)
    store.save_account("@ada:example.org", "DEVICE", False, "first")
    (pages,) = store.rows("PRAGMA page_count")[0]
    store.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError) as caught:
        store.save_account("@ada:example.org", "DEVICE", True, "x" * 100_000)
    assert caught.value.code == "store.full"
    assert str(caught.value) == f"The disk that holds {tmp_path / FILE} is full. Free some space and start again."
    store._connection.execute("PRAGMA max_page_count = 1000000")
    for use in (
        lambda: store.save_account("@ada:example.org", "DEVICE", True, "second"),
        lambda: store.account("@ada:example.org", "DEVICE"),
        store.encrypted_rooms,
    ):
        with pytest.raises(StoreError) as again:
            use()
        assert again.value.code == "store.full"
    store.close()
    with_room = EncryptionStore(tmp_path)
    assert with_room.account("@ada:example.org", "DEVICE") == (False, "first")
    with_room.close()
