"""Worlds that tests share: making one takes a few hundredths of a second, its floor seconds."""

import pytest

from liuli.world import World


@pytest.fixture(scope="session")
def both() -> World:
    return World("begin", 0, "both")


@pytest.fixture(scope="session")
def large() -> World:
    return World("large", 0, "both")
