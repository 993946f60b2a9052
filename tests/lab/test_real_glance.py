"""The real Glance passes the contract that the fake is built on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from deploy.lab.layout import Lab
from edgesync.domain.ports import Glance
from tests.contract.glance.suite import GlanceContract
from tests.lab.glance_driver import LabDriver


@pytest.fixture
async def driver(lab: Lab) -> AsyncIterator[LabDriver]:
    async with AsyncExitStack() as stack:
        driver = LabDriver(lab, stack)
        stack.push_async_callback(driver.clean_up)
        yield driver
    driver.repair()


@pytest.fixture
def glance(driver: LabDriver) -> Glance:
    return driver.client()


class TestRealGlance(GlanceContract):
    """The real one does what edgesync relies on."""
