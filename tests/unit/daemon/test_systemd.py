"""What systemd hears of the daemon, on a socket of its kind."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgesync.daemon.systemd import HANGS_AFTER, Systemd, in_a_line
from edgesync.expose.picture import Health, Showcase
from tests.builders import NOW, image, policy, situation
from tests.unit.expose.pictures import picture_of


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def told(ear: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(ear.recv(4096).decode())
        except BlockingIOError:
            return messages


def environment(ear: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": ear.getsockname(), **more}


async def attended(systemd: Systemd, *, turning_for: float) -> None:
    """One look at the daemon."""
    attending = asyncio.create_task(systemd.attend(lambda: "one\nline", lambda: turning_for))
    await asyncio.sleep(0)
    attending.cancel()
    await asyncio.gather(attending, return_exceptions=True)


async def test_it_says_how_it_is_doing_and_that_it_is_alive(ear: socket.socket) -> None:
    systemd = Systemd(environment(ear, WATCHDOG_USEC="90000000", WATCHDOG_PID=str(os.getpid())))
    assert systemd.patience == 90
    await attended(systemd, turning_for=0)
    await attended(systemd, turning_for=HANGS_AFTER - 1)
    assert told(ear) == ["STATUS=one line", "WATCHDOG=1", "WATCHDOG=1"]


async def test_a_turn_that_hangs_lets_the_watchdog_bite(ear: socket.socket) -> None:
    await attended(Systemd(environment(ear, WATCHDOG_USEC="90000000")), turning_for=HANGS_AFTER)
    assert told(ear) == ["STATUS=one line"]


@pytest.mark.parametrize("watchdog", [{}, {"WATCHDOG_USEC": "9000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}])
async def test_a_watchdog_of_nobody_or_of_another_process_is_not_fed(
    ear: socket.socket, watchdog: dict[str, str]
) -> None:
    await attended(Systemd(environment(ear, **watchdog)), turning_for=0)
    assert told(ear) == ["STATUS=one line"]


def test_a_reload_that_fails_ends_all_the_same(ear: socket.socket) -> None:
    with pytest.raises(ValueError, match="broken"), Systemd(environment(ear)).reloading():
        raise ValueError("broken")
    begun, ended = told(ear)
    assert begun.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert ended == "READY=1"


def test_a_name_without_a_file_is_spoken_to() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("")  # The kernel chooses a name.
        listening.settimeout(5)
        Systemd({"NOTIFY_SOCKET": "@" + listening.getsockname()[1:].decode()}).stopping()
        assert listening.recv(100) == b"STOPPING=1"


async def test_a_supervisor_that_is_not_there_or_does_not_listen_holds_up_nothing(
    ear: socket.socket, tmp_path: Path
) -> None:
    Systemd({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()
    for _ in range(10_000):
        Systemd(environment(ear)).ready()
    nobody = Systemd({})
    nobody.ready()
    await nobody.attend(lambda: "never asked", lambda: 0)


def test_the_line_leads_with_what_is_wrong() -> None:
    showcase = Showcase(health=Health(started_at=NOW))
    assert in_a_line(showcase) == "the first look at Glance is not finished"
    showcase.picture = picture_of(situation(image(), policies=[policy()]))
    assert in_a_line(showcase).startswith("1 images; 0 under way, ")
    showcase.health = Health(started_at=NOW, trouble="Glance does not answer")
    assert in_a_line(showcase) == "Glance does not answer"
