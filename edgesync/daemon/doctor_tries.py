"""An error is a finding, too."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from edgesync.errors import EdgesyncError

T = TypeVar("T")


async def tried(call: Awaitable[T]) -> T | EdgesyncError:
    """What it returns, or the error that it raises."""
    try:
        return await call
    except EdgesyncError as error:
        return error
