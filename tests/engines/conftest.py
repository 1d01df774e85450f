"""The packaged model, assembled once for the whole run, and one engine that has it loaded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from bots.engines.llamacpp import LlamaCppEngine
from bots.engines.packaged_model import packaged_model


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The packaged model as a file, in a cache of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        path = packaged_model()
    yield path
    path.unlink()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engine(model_path: Path) -> AsyncIterator[LlamaCppEngine]:
    """An engine that holds the packaged model, with one slot: leave it running and idle."""
    engine = LlamaCppEngine(model_path)
    await engine.start()
    yield engine
    await engine.close()
