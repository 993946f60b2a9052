"""The section `api`: where the daemon listens, and who may do what there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field

from edgesync.config.addresses import Listen, is_loopback, split_listen
from edgesync.config.expectations import Texts, absolute, counting, one_of
from edgesync.config.quantities import Seconds, lasting
from edgesync.config.section import Section

# Where edgesync keeps what it makes itself, unless its journal is in another folder.
STATE = Path("/var/lib/edgesync")
# In that folder: the credential of the commands on this host.
LOCAL_TOKEN = "local-token"  # noqa: S105 - the name of a file


class ApiSettings(Section):
    listen: Listen = "127.0.0.1:9780"
    # `closed`: who only looks needs a credential, too. Who changes something always does.
    reading: Annotated[str, one_of(("open", "closed"))] = "open"
    # `NAME ROLE TOKEN` a line; None: only the commands on this host, and Keystone's users if they are let in.
    tokens: Annotated[str, absolute("/etc/edgesync/tokens")] | None = None
    # Roles of Keystone whose owners may change something, or look; neither: Keystone is not asked.
    keystone_operators: Texts | None = None
    keystone_viewers: Texts | None = None
    # In these projects only, by name or id; None: in any.
    keystone_projects: Texts | None = None
    # Seconds for which Keystone's word on a token counts, so that a revoked one is refused within them.
    keystone_cache: Annotated[Seconds, lasting("1s", "10m")] = Field(default="1m", validate_default=True)
    # PEM files; None: plain HTTP, on loopback only.
    certificate: Annotated[str, absolute("/etc/edgesync/api.crt")] | None = None
    key: Annotated[str, absolute("/etc/edgesync/api.key")] | None = None
    # Whose certificates others than this host must show; None: nobody's.
    client_ca: Annotated[str, absolute("/etc/edgesync/clients.crt")] | None = None
    max_connections: Annotated[int, counting(8, 10_000)] = 512
    # Requests per second from one address.
    max_rate: Annotated[int, counting(1, 100_000)] = 1000

    @property
    def host(self) -> str:
        return split_listen(self.listen)[0]

    @property
    def port(self) -> int:
        return split_listen(self.listen)[1]

    @property
    def is_open(self) -> bool:
        return self.reading == "open"

    @property
    def asks_keystone(self) -> bool:
        return bool(self.keystone_operators or self.keystone_viewers)

    @property
    def url(self) -> str:
        """For commands on this host."""
        host = self.host if is_loopback(self.host) else _LOOPBACK.get(self.host, self.host)
        name = f"[{host}]" if ":" in host else host
        return f"{'https' if self.certificate else 'http'}://{name}:{self.port}"


# What listens everywhere is reached on loopback.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def state_folder(journal_url: str) -> Path:
    """The folder of an SQLite journal; where that is a server, the usual place."""
    parts = urlsplit(journal_url)
    return Path(parts.path[1:]).parent if parts.scheme.startswith("sqlite") else STATE
