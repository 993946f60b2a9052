from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.scenario.stage import MEMORY, Stage, set_stage


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory, where the machine has such a folder: a journal waits for the disk at every write."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


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


@pytest.fixture
async def lines(tmp_path: Path) -> AsyncIterator[Stage]:
    """The same, and edgesync copies the blocks itself."""
    async with set_stage(tmp_path, blocks=True) as ready:
        yield ready
