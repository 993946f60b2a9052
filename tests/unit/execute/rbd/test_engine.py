"""What the engine does beside copying. How it copies, scenarios tell."""

from __future__ import annotations

import asyncio

import pytest

from edgesync.domain.blocks import MIB
from tests.unit.execute.doubles import rig


def test_its_threads_go_when_it_is_closed() -> None:
    engine = rig().engines.blocks
    assert engine.resources.executor.submit(int).result() == 0
    engine.close()
    with pytest.raises(RuntimeError):
        engine.resources.executor.submit(int)


async def test_of_little_memory_no_more_is_lent_all_the_same() -> None:
    on = rig(memory=32 * MIB).engines.blocks.resources
    async with asyncio.timeout(5), on.spreads.hold(20 * MIB):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), on.memory.hold(20 * MIB):
                pass


async def test_readings_for_several_sites_and_such_for_one_do_not_wait_for_each_other() -> None:
    on = rig(memory=64 * MIB).engines.blocks.resources
    async with asyncio.timeout(5), on.spreads.hold(32 * MIB), on.memory.hold(32 * MIB):
        pass
