"""Since when copies of an image have been missing."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

from edgesync.domain.store import StoreId

# Few: copies that went missing at the same time share one. Thousands of images in the same position share all.
Epochs: TypeAlias = tuple[tuple[datetime, frozenset[StoreId]], ...]
