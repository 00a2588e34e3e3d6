"""Worlds that tests share."""

import pytest

from liuli.world import World


@pytest.fixture(scope="session")
def both() -> World:
    return World("begin", 0, "both")


@pytest.fixture(scope="session")
def large() -> World:
    return World("large", 0, "both")
