"""The errors edgesync raises, chosen by what the caller does about them.

    EdgesyncError
    |-- TransientError      try again later (carries retry_after when the server named a time)
    |   `-- UnreachableError    nobody answered: try again later, and say which address
    |-- ConflictError       somebody else is acting on the image: look again, then decide
    |-- PermanentError      trying again won't help: show it with its remedy
    |   |-- NotFoundError       the thing is gone
    |   |-- ForbiddenError      our key may not: do it in another way if there is one
    |   |-- UnreadableError     the disks have lost the data: take them from another copy
    |   `-- RequestError        the person asked for something that can't be done
    `-- ConfigError         nothing may start: every problem at once, each with its place

Every message is one sentence for a person; `remedy` says what that person can do.
"""

from __future__ import annotations

from collections.abc import Sequence


class EdgesyncError(Exception):
    """Base of all errors that are meant to be shown to a person."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class TransientError(EdgesyncError):
    """Worth trying again. `retry_after` is in seconds, None when nobody named a time."""

    def __init__(self, message: str, *, remedy: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after = retry_after


class UnreachableError(TransientError):
    """No answer at all. `sent` tells whether the request may have had its effect although no answer came."""

    def __init__(self, message: str, *, remedy: str = "", sent: bool = True) -> None:
        super().__init__(message, remedy=remedy)
        self.sent = sent


class ConflictError(EdgesyncError):
    """The other side refuses for now, because of the state the object is in (Glance's 409)."""


class PermanentError(EdgesyncError):
    """Trying again changes nothing: policy, quota, a bad request."""


class NotFoundError(PermanentError):
    """The image, store or job is not there (any more)."""


class ForbiddenError(PermanentError):
    """A cluster's key may not do that."""


class UnreadableError(PermanentError):
    """A cluster answers, and can't read what it had stored."""


class RequestError(PermanentError):
    """A person's request that can't be carried out as it stands."""


class ConfigError(EdgesyncError):
    """The configuration is refused. `problems` holds one line for each mistake, `file:line:column: key: ...`."""

    def __init__(self, problems: Sequence[str], *, remedy: str = "") -> None:
        super().__init__("\n".join(problems), remedy=remedy)
        self.problems = tuple(problems)
