"""What an operator can change of the engines while they run: one record, read anew each time it matters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta

from edgesync.domain.store import StoreId
from edgesync.plan.layering import LayeringRules
from edgesync.plan.retry import Backoff


def unlimited(_store: StoreId | None, _now: datetime) -> None:
    """No limit."""


@dataclass(kw_only=True, slots=True)
class Tuning:
    """Replaced field by field when the configuration is reloaded."""

    # Seconds between two looks at a running import.
    poll: float
    # Seconds without any sign after which an import counts as stalled.
    stall_after: float
    # For how long what goes into RBD's trash can be restored.
    trash_delay: timedelta
    backoff: Backoff
    layering: LayeringRules = field(default_factory=LayeringRules)
    # Bytes per second that may go to a store now, or to all of them together (None); None: no limit.
    allowed: Callable[[StoreId | None, datetime], float | None] = unlimited

    def replace(self, other: Tuning) -> None:
        """Say what the other says from now on."""
        for each in fields(self):
            setattr(self, each.name, getattr(other, each.name))
