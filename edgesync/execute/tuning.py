"""What an operator can change of the engines while they run: one record, read anew each time it matters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from edgesync.plan.retry import Backoff


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
