"""Commands to a cluster's manager: librados writes an answer, however late, into what is there until then."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import rados

from edgesync.clients.blocks import COMMANDS, CephBlocks
from edgesync.clients.rbd_manager import PATIENT
from edgesync.domain.store import CephSettings, StoreId
from edgesync.errors import UnreachableError

LONG = 60.0


class Cluster:
    """One connection to a cluster whose manager answers once the gate is open."""

    made: list[Cluster]
    gate: threading.Event

    def __init__(self, *, conffile: str, rados_id: str, conf: dict[str, str]) -> None:
        assert Path(conffile).exists()
        self.user = rados_id
        self.conf = conf
        self.asked: list[str] = []
        self.asking_thread: threading.Thread | None = None
        # Of each shutdown: whether no command was under way, and the thread.
        self.shutdowns: list[tuple[bool, threading.Thread]] = []
        self.answered = threading.Event()
        Cluster.made.append(self)

    def connect(self) -> None:
        pass

    def mgr_command(self, command: str, data: bytes) -> tuple[int, bytes, str]:
        assert data == b""
        self.asked.append(json.loads(command)["prefix"])
        self.asking_thread = threading.current_thread()
        Cluster.gate.wait(LONG)
        self.answered.set()
        return 0, b"[]", ""

    def shutdown(self) -> None:
        self.shutdowns.append((self.answered.is_set(), threading.current_thread()))


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Opened, the manager answers."""
    monkeypatch.setattr(Cluster, "made", [], raising=False)
    monkeypatch.setattr(Cluster, "gate", threading.Event(), raising=False)
    monkeypatch.setattr(rados, "Rados", Cluster)
    yield Cluster.gate
    Cluster.gate.set()


@pytest.fixture
async def blocks(gate: threading.Event, tmp_path: Path) -> AsyncIterator[CephBlocks]:
    conf = tmp_path / "ceph.conf"
    conf.touch()
    blocks = CephBlocks(StoreId("dcn0"), CephSettings(conf=str(conf), user="edgesync"), deadline=0.5)
    yield blocks
    gate.set()
    await blocks.close()


async def test_librados_never_gives_up_on_a_command(blocks: CephBlocks, gate: threading.Event) -> None:
    gate.set()
    assert await blocks.tasks() == ()
    (cluster,) = Cluster.made
    assert PATIENT.items() <= cluster.conf.items()
    assert cluster.conf["rados_mon_op_timeout"] == "0"
    # But it does on the way there.
    assert cluster.conf["client_mount_timeout"] == "1"


async def test_a_connection_lasts_until_its_command_is_answered_whoever_waits(
    blocks: CephBlocks, gate: threading.Event
) -> None:
    with pytest.raises(UnreachableError, match="did not answer") as failed:
        await blocks.tasks()
    assert failed.value.sent
    (cluster,) = Cluster.made
    await blocks.close()
    assert cluster.shutdowns == []
    gate.set()
    assert cluster.asking_thread is not None
    await asyncio.to_thread(cluster.asking_thread.join, LONG)
    assert cluster.shutdowns == [(True, cluster.asking_thread)]


async def test_the_next_command_does_not_wait_for_one_that_hangs(blocks: CephBlocks, gate: threading.Event) -> None:
    with pytest.raises(UnreachableError):
        await blocks.tasks()
    gate.set()
    assert await blocks.tasks() == ()
    assert [cluster.asked for cluster in Cluster.made] == [["rbd task list"], ["rbd task list"]]


async def test_few_threads_wait_for_a_manager_that_never_answers(blocks: CephBlocks, gate: threading.Event) -> None:
    hung = await asyncio.gather(*(blocks.tasks() for _ in range(COMMANDS)), return_exceptions=True)
    assert {type(failure) for failure in hung} == {UnreachableError}
    with pytest.raises(UnreachableError, match=f"{COMMANDS} other calls") as failed:
        await blocks.tasks()
    assert not failed.value.sent
    assert len(Cluster.made) == COMMANDS
    gate.set()
    for cluster in Cluster.made:
        assert cluster.asking_thread is not None
        await asyncio.to_thread(cluster.asking_thread.join, LONG)
    await asyncio.sleep(0)
    assert await blocks.tasks() == ()
