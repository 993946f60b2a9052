"""Who may do what through the API, and how that is found out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Role(StrEnum):
    """What a credential is good for."""

    VIEWER = "viewer"  # sees everything
    OPERATOR = "operator"  # and changes it

    @property
    def changes(self) -> bool:
        return self is Role.OPERATOR


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Whose credential it is."""

    # For the history.
    name: str
    role: Role
    # True: several persons share it, and each says who it is.
    shared: bool = False

    def named(self, said: str) -> str:
        """Who asks, where the request itself says `said`, or nothing."""
        if not said or said == self.name:
            return self.name
        return said if self.shared else f"{self.name} ({said})"


class Credentials(Protocol):
    """One kind of credential: the tokens of a file, of Keystone."""

    async def caller(self, token: str) -> Caller | None:
        """None: it is none of these. TransientError: that can't be told now."""
        ...


class RemoteCredentials(Credentials, Protocol):
    """Those that others are asked about, and whose answers count for a while."""

    def remembered(self, token: str) -> Caller | None:
        """Without asking; None: that takes a question."""
        ...
