"""The copy of an image in a store, and the one enum of its states that everything shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId


class CopyState(StrEnum):
    """State of one image in one store. CLI, API and metrics use these words and no others."""

    ABSENT = "absent"
    WAITING = "waiting"
    COPYING = "copying"
    PRESENT = "present"
    FAILED = "failed"
    STALLED = "stalled"
    BROKEN = "broken"
    ORPHAN = "orphan"
    UNWANTED = "unwanted"

    @property
    def sign(self) -> str:
        """One character for a matrix, so that colour is never the only hint."""
        return _SIGNS[self]

    @property
    def alarming(self) -> bool:
        """True for what a person should look at."""
        return self in {CopyState.FAILED, CopyState.STALLED, CopyState.BROKEN, CopyState.ORPHAN}


_SIGNS = {
    CopyState.ABSENT: "·",
    CopyState.WAITING: "…",
    CopyState.COPYING: "→",
    CopyState.PRESENT: "✓",
    CopyState.FAILED: "✗",
    CopyState.STALLED: "‖",
    CopyState.BROKEN: "!",
    CopyState.ORPHAN: "?",
    CopyState.UNWANTED: "+",
}


class WaitReason(StrEnum):
    """Why a wanted copy is not being made right now."""

    READY = "ready"  # nothing is in the way: the next free slot is its own
    NOT_ACTIVE = "not-active"
    NOT_AT_HUB = "not-at-hub"
    NO_STORE = "no-such-store"
    LOCK = "lock"
    BUDGET = "budget"
    BACKOFF = "backoff"
    RETRY_BUDGET = "retry-budget"  # too many retries into this store within the hour
    IN_FLIGHT = "in-flight"  # another copy of the same image goes first
    STORE_DOWN = "store-down"
    WINDOW = "window"
    PAUSED = "paused"
    CAPACITY = "capacity"
    WAVE = "wave"  # the stores of an earlier wave of the rollout come first
    ORPHAN = "orphan"  # a leftover RBD image is in the way
    ENGINE = "engine"  # the engine that was asked for can't copy it there
    UPLOAD = "upload"  # the data has not been sent yet

    @property
    def passes(self) -> bool:
        """True for what ends by itself, soon: somebody's import, a slot being freed."""
        return self in {WaitReason.READY, WaitReason.LOCK, WaitReason.BUDGET, WaitReason.IN_FLIGHT}


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """What is remembered of a copy that failed, until it succeeds."""

    image: ImageId
    store: StoreId
    # Failed attempts since the last success.
    attempts: int
    error: str
    remedy: str
    failed_at: datetime
    # No policy tries again before then. A person's request doesn't wait for it.
    next_try: datetime


class StallCause(StrEnum):
    """What keeps an import from getting on."""

    STORE_DOWN = "store-down"  # the site being written does not answer
    HUB_DOWN = "hub-down"  # the site being read from does not answer
    STAGING = "staging"  # glance-api reads the image into its staging area, and nothing arrives at the site
    WRITING = "writing"  # the site answers, and the RBD image there does not grow
    WORKER_GONE = "worker-gone"  # nobody updates the task any more: its glance-api was stopped or killed
    QUEUED = "queued"  # Glance has accepted it and not begun


@dataclass(frozen=True, kw_only=True, slots=True)
class Stall:
    """An import that has not got on for the configured time."""

    # When it last got on.
    since: datetime
    # The store that was being written.
    store: StoreId
    cause: StallCause
    # Sentences for people: what was found, and what will happen next.
    why: str
    next: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far the import into one store has come."""

    image: ImageId
    store: StoreId
    bytes_done: int
    bytes_total: int
    # Bytes per second over the recent past; 0 until there is something to tell.
    rate: float
    since: datetime

    @property
    def eta(self) -> float | None:
        """Seconds to go at the present rate; None while unknown."""
        if self.rate <= 0:
            return None
        return max(0, self.bytes_total - self.bytes_done) / self.rate
