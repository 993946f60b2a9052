"""Debian's Glance, years older, passes the same contract with what it can tell."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from deploy.lab import lifecycle
from deploy.lab.layout import Lab, Release
from edgesync.domain.ports import Glance
from tests.contract.glance.suite import GlanceContract
from tests.lab import conftest
from tests.lab.glance_driver import LabDriver

NAME = f"distro{conftest.WORKER}"


@pytest.fixture(scope="module")
def old_lab() -> Iterator[Lab]:
    """A lab of its own, for a lab keeps its Glance."""
    if not conftest.KEEP:
        lifecycle.down(NAME)
    yield lifecycle.up(NAME, edges=2, release=Release.DISTRO)
    if not conftest.KEEP:
        lifecycle.down(NAME)


@pytest.fixture
async def driver(old_lab: Lab) -> AsyncIterator[LabDriver]:
    async with AsyncExitStack() as stack:
        driver = LabDriver(old_lab, stack)
        stack.push_async_callback(driver.clean_up)
        yield driver
    driver.repair()


@pytest.fixture
def glance(driver: LabDriver) -> Glance:
    return driver.client()


class TestDistroGlance(GlanceContract):
    """The old one does what edgesync relies on."""
