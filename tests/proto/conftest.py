"""Property tests draw the same examples in every run."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.proto.authoring import Author

settings.register_profile(
    "clawnet",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("clawnet")


@pytest.fixture
def alice() -> Author:
    return Author("alice")


@pytest.fixture
def bob() -> Author:
    return Author("bob")


@pytest.fixture
def carol() -> Author:
    return Author("carol")
