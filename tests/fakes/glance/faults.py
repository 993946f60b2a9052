"""What can go wrong with one answer, and for which requests it does."""

from __future__ import annotations

from dataclasses import dataclass

# Names of requests, as the client's metrics use them too.
OPERATIONS = (
    "versions",
    "stores",
    "stores_detail",
    "import_info",
    "images",
    "image",
    "tasks",
    "copy_image",
    "delete_from_store",
    "add_location",
    "create_image",
    "stage",
    "import_image",
    "delete_image",
)


@dataclass(frozen=True, kw_only=True)
class Status:
    """An error answer; the request has no effect. As HTML, the way Glance writes it, or as a bare text."""

    status: int
    said: str = "The server could not comply with the request."
    retry_after: str | None = None
    html: bool = True


@dataclass(frozen=True)
class Reset:
    """The connection is reset; the request has no effect."""


@dataclass(frozen=True)
class LoseAnswer:
    """The request has its effect, and then the connection is reset."""


@dataclass(frozen=True)
class Truncate:
    """Half of the body, then the end of the connection."""


@dataclass(frozen=True)
class NotJson:
    """Status 200 with a web page: a captive proxy, a maintenance page."""

    body: str = "<html><body>Down for maintenance</body></html>"


@dataclass(frozen=True)
class Hang:
    """No answer, until the client gives up."""


@dataclass(frozen=True)
class TokenExpired:
    """401, whatever the token."""


@dataclass(frozen=True)
class Slow:
    """The answer comes late, by the fake's clock."""

    seconds: float


Kind = Status | Reset | LoseAnswer | Truncate | NotJson | Hang | TokenExpired | Slow


def status(code: int, *, retry_after: str | None = None, html: bool = True) -> Status:
    return Status(status=code, retry_after=retry_after, html=html)


@dataclass(kw_only=True)
class Fault:
    """`times` requests of one operation go wrong; "*" stands for any."""

    operation: str
    kind: Kind
    times: int = 1


class Faults:
    """The faults that are still to come, in the order in which they were added."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        if fault.operation not in {*OPERATIONS, "*"}:
            raise ValueError(f"unknown operation {fault.operation!r}; one of {', '.join(OPERATIONS)} or *")
        self._waiting.append(fault)

    def clear(self) -> None:
        self._waiting.clear()

    def take(self, operation: str) -> Kind | None:
        for fault in self._waiting:
            if fault.operation in {operation, "*"}:
                fault.times -= 1
                if fault.times <= 0:
                    self._waiting.remove(fault)
                return fault.kind
        return None
