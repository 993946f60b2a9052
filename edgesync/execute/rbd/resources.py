"""What all copies of the rbd engine share."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

from edgesync.domain.ports import Clock
from edgesync.execute.rbd.lines import Lines
from edgesync.execute.rbd.memory import Memory
from edgesync.execute.rbd.source import AHEAD, CHUNK
from edgesync.execute.rbd.spread import MOST

# Bytes that a reading for several sites holds, but for images of terabytes.
LARGEST_SHARE = (AHEAD + 1 + MOST) * CHUNK


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """Lines, memory, threads for digests, and the time."""

    lines: Lines
    # For readings that feed several sites.
    spreads: Memory
    # For everybody who reads for himself: none of these keeps a reading waiting for which others wait.
    memory: Memory
    executor: Executor
    clock: Clock


def shares_of(limit: int) -> tuple[Memory, Memory]:
    """So many bytes for `spreads` and `memory`: half each, or all for both where half would not do for a reading."""
    if limit < 2 * LARGEST_SHARE:
        both = Memory(limit)
        return both, both
    return Memory(limit // 2), Memory(limit - limit // 2)
