from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.scenario.stage import Stage, set_stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Two edges that nobody but Glance can reach."""
    async with set_stage(tmp_path, ceph=False) as ready:
        yield ready


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[Stage]:
    """The same, and the daemon can ask each site's Ceph."""
    async with set_stage(tmp_path) as ready:
        yield ready
