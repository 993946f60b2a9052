"""The connected parts of a daemon, and what becomes of them at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgesync.config import load
from edgesync.daemon.compose import composed


async def test_the_threads_of_the_rbd_engine_end_with_the_daemon(tmp_path: Path) -> None:
    file = tmp_path / "edgesync.yaml"
    file.write_text(f"hub: central\njournal: {{url: 'sqlite+aiosqlite:///{tmp_path / 'journal.db'}'}}\n")
    async with composed(load(file, environ={})) as daemon:
        executor = daemon.mover.resources.executor
        assert executor.submit(int).result() == 0
    with pytest.raises(RuntimeError):
        executor.submit(int)
