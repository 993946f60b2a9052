"""What all copies of the rbd engine share."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

from edgesync.domain.ports import Clock
from edgesync.execute.rbd.lines import Lines
from edgesync.execute.rbd.memory import Memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """Lines, memory, threads for digests, and the time."""

    lines: Lines
    memory: Memory
    executor: Executor
    clock: Clock
