"""What the engine does beside copying. How it copies, scenarios tell."""

from __future__ import annotations

import pytest

from tests.unit.execute.doubles import rig


def test_its_threads_go_when_it_is_closed() -> None:
    engine = rig().engines.blocks
    assert engine.resources.executor.submit(int).result() == 0
    engine.close()
    with pytest.raises(RuntimeError):
        engine.resources.executor.submit(int)
