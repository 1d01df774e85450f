"""A bridge's health over HTTP, while its sides come and go."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bots.config import HealthSection
from bots.health import server
from bots.health.crossing import BridgeHealth
from bots.health.endpoint import Endpoint
from bots.health.server import HealthServer
from tests.agent.virtual_time import until
from tests.bridge.crossing import PATIENCE_S, Crossing
from tests.health.pages import Page, page
from tests.proto.samples import request

if TYPE_CHECKING:
    from tests.bridge.conftest import NewBridge

ANYWHERE = Endpoint("127.0.0.1", 0)
LIMITS = HealthSection(sync_seconds=1, outbox_seconds=60)


async def until_codes(url: str, *codes: str) -> Page:
    """The page of health once these are its problems."""
    async with asyncio.timeout(PATIENCE_S):
        while (found := await page(url, "health")).codes != [*codes]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return found


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_FRESH_S", 0.0)


async def test_a_side_that_goes_and_comes_back(crossing: Crossing, new_bridge: NewBridge, tmp_path: Path) -> None:
    bridge = await new_bridge()
    ada = crossing.on_matrix("ada")
    await crossing.quiet(ada)
    async with HealthServer(BridgeHealth(bridge.bridge, LIMITS, tmp_path), ANYWHERE) as listening:
        well, ready = await page(listening.url, "health"), await page(listening.url, "ready")
        assert (well.status, well.json["status"], well.codes) == (200, "ok", [])
        assert (ready.status, ready.json) == (200, {"ready": True, "problems": []})
        sides = well.json["state"]["sides"]
        assert sides.keys() == {"matrix", "http"} and sides["http"]["carried"] >= 1
        assert all(side["online"] and side["caught_up"] and side["offline_s"] == 0 for side in sides.values())

        await crossing.hub.stop()
        said = await ada.tell(request())
        gone = await until_codes(listening.url, "sync.stale")
        assert gone.status == (await page(listening.url, "ready")).status == 503
        assert gone.json["state"]["sides"]["http"]["offline_s"] > LIMITS.sync_seconds
        await until(lambda: bridge.waiting, PATIENCE_S)
        metrics = (await page(listening.url, "metrics")).text
        assert 'clawnet_problem{code="sync.stale"} 1.0' in metrics
        assert 'clawnet_bridge_online{side="http"} 0.0' in metrics
        assert 'clawnet_bridge_waiting{side="http"} 1.0' in metrics

        await crossing.hub.start()
        await crossing.arrived(said, "http")
        back = await until_codes(listening.url)
        assert (back.status, back.json["status"]) == (200, "ok")
        assert 'clawnet_bridge_online{side="http"} 1.0' in (await page(listening.url, "metrics")).text
        for secret in (bridge.did, bridge.address("matrix"), crossing.room, "127.0.0.1"):
            assert secret not in well.text + gone.text + metrics


async def test_a_bridge_that_was_never_connected_is_not_healthy(crossing: Crossing, new_bridge: NewBridge) -> None:
    bridge = await new_bridge(start=False)
    await bridge.open()
    async with HealthServer(BridgeHealth(bridge.bridge, LIMITS), ANYWHERE) as listening:
        assert (await page(listening.url, "health")).codes == ["sync.never"]
        unready = await page(listening.url, "ready")
        assert (unready.status, unready.codes) == (503, ["sync.never", "history"])
        bridge.bridge.stop()
        assert (await page(listening.url, "ready")).codes == ["sync.never", "stopping", "history"]
    await bridge.bridge.run()


async def test_a_store_that_does_not_answer(crossing: Crossing, new_bridge: NewBridge) -> None:
    bridge = await new_bridge()
    await bridge.stop()
    async with HealthServer(BridgeHealth(bridge.bridge, LIMITS), ANYWHERE) as listening:
        for path in ("health", "ready"):
            answer = await page(listening.url, path)
            assert (answer.status, answer.codes) == (503, ["store.closed"])
        assert (await page(listening.url, "metrics")).status == 503
