"""`edgesync run` as systemd starts it: a process with a socket to tell of its life, and a watchdog to feed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from tests.fakes.glance import FakeGlance
from tests.fakes.keystone import PASSWORD, FakeKeystone

ROOT = Path(__file__).parents[3]
# Seconds: for whatever the process has to say next, on a busy machine.
PATIENCE = 60


class Supervisor:
    """The side of systemd: one process, and what it said, line by line."""

    def __init__(self, ear: socket.socket, process: Process) -> None:
        self._ear = ear
        self.process = process
        self.heard: list[str] = []

    async def probes(self, path: str, address: str) -> str:
        """What a probe in its container says."""
        probe = await asyncio.create_subprocess_exec(ROOT / "deploy" / "edgesync-probe", path, address, stdout=PIPE)
        async with asyncio.timeout(PATIENCE):
            said, _ = await probe.communicate()
        return said.decode().strip()

    async def hears(self, beginning: str) -> None:
        """Wait until it says that, after what was waited for before."""
        self.heard = []
        async with asyncio.timeout(PATIENCE):
            while not any(line.startswith(beginning) for line in self.heard):
                message = await asyncio.get_running_loop().sock_recv(self._ear, 4096)
                self.heard.extend(message.decode().splitlines())


def configured(folder: Path, keystone: FakeKeystone) -> Path:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    log_in = {
        "auth_url": keystone.url,
        "username": "edgesync",
        "password": PASSWORD,
        "project_name": "service",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    }
    clouds = folder / "clouds.yaml"
    clouds.write_text(yaml.safe_dump({"clouds": {"fake": {"auth": log_in, "region_name": "RegionOne"}}}))
    settings = {
        "cloud": "fake",
        "clouds_file": str(clouds),
        "hub": "central",
        "journal": {"url": f"sqlite+aiosqlite:///{folder}/journal.db"},
        "api": {"listen": f"127.0.0.1:{free}"},
        "polling": {"active": "200ms", "idle": "500ms"},
    }
    file = folder / "edgesync.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    keystone = FakeKeystone()
    login = await keystone.start()
    ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ear.setblocking(False)
    ear.bind(str(tmp_path / "notify"))
    async with FakeGlance() as glance:
        keystone.endpoints = {"public": glance.url}
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "edgesync", "--config", str(configured(tmp_path, keystone)), "run"],
            cwd=ROOT,
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"},
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        try:
            yield Supervisor(ear, process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            ear.close()
            await login.cleanup()


async def test_it_is_ready_alive_reloads_and_stops(supervisor: Supervisor, tmp_path: Path) -> None:
    await supervisor.hears("READY=1")
    assert not any(line.startswith("WATCHDOG=") for line in supervisor.heard), "nothing is watched before"
    await supervisor.hears("STATUS=0 images; 0 under way, 0 waiting")
    await supervisor.hears("WATCHDOG=1")
    address = yaml.safe_load((tmp_path / "edgesync.yaml").read_text())["api"]["listen"]
    for path in ("/livez", "/readyz"):
        assert await supervisor.probes(path, address) == "ok"
    supervisor.process.send_signal(signal.SIGHUP)
    await supervisor.hears("RELOADING=1")
    assert any(line.startswith("MONOTONIC_USEC=") for line in supervisor.heard)
    await supervisor.hears("READY=1")
    (tmp_path / "edgesync.yaml").write_text("hub: [")
    supervisor.process.send_signal(signal.SIGHUP)
    await supervisor.hears("RELOADING=1")
    await supervisor.hears("READY=1")
    await supervisor.hears("WATCHDOG=1")
    supervisor.process.send_signal(signal.SIGTERM)
    await supervisor.hears("STOPPING=1")
    async with asyncio.timeout(PATIENCE):
        assert await supervisor.process.wait() == 0
