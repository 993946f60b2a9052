"""The connected parts of a daemon, and what becomes of them at its end."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from edgesync.config import load
from edgesync.daemon.certificates import Certificate, Files
from edgesync.daemon.compose import composed
from edgesync.expose.access import Access
from tests.fakes.certificates import Authority


async def test_the_threads_of_the_rbd_engine_end_with_the_daemon(tmp_path: Path) -> None:
    file = tmp_path / "edgesync.yaml"
    file.write_text(f"hub: central\njournal: {{url: 'sqlite+aiosqlite:///{tmp_path / 'journal.db'}'}}\n")
    async with composed(load(file, environ={})) as daemon:
        executor = daemon.mover.resources.executor
        assert executor.submit(int).result() == 0
    with pytest.raises(RuntimeError):
        executor.submit(int)


async def test_the_end_of_the_daemon_s_own_certificate_is_among_its_metrics(tmp_path: Path) -> None:
    file = tmp_path / "edgesync.yaml"
    file.write_text(f"hub: central\njournal: {{url: 'sqlite+aiosqlite:///{tmp_path / 'journal.db'}'}}\n")
    pair = Authority(tmp_path, "authority").issue("api")
    certificate = Certificate(
        Files(certificate=str(pair.certificate), key=str(pair.key), client_ca=None, place="edgesync.yaml:1:1")
    )
    everybody = Access(files=(), reading_is_open=True)
    async with (
        composed(load(file, environ={}), everybody, certificate) as daemon,
        TestClient(TestServer(daemon.api.application())) as client,
    ):
        shown = await (await client.get("/metrics")).text()
    assert 'edgesync_certificate_expiry_timestamp_seconds{service="api"}' in shown
