"""What a cluster refuses or fails to answer, as errors that say what a person can do. Each names store and pool."""

from __future__ import annotations

from dataclasses import dataclass

from edgesync.domain.store import CephSettings, StoreId
from edgesync.errors import ConflictError, NotFoundError, PermanentError, UnreachableError

SNAPSHOT = "snap"


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusals:
    """The errors of one store. `what` is what could not be done: "list the RBD images", after "Can't"."""

    store: StoreId
    settings: CephSettings
    # Seconds.
    deadline: float

    @property
    def where(self) -> str:
        return f"store {self.store} (pool {self.settings.pool})"

    def silent(self, what: str, *, sent: bool = True) -> UnreachableError:
        return UnreachableError(
            f"Can't {what} in {self.where}: Ceph did not answer within {self.deadline:g} seconds.",
            remedy=f"Look at the site: `ceph --conf {self.settings.conf} --id {self.settings.user} status`, its OSDs "
            "and the line to it.",
            sent=sent,
        )

    def busy(self, what: str, stuck: int) -> UnreachableError:
        return UnreachableError(
            f"Can't {what} in {self.where}: all {stuck} calls that may run there at once still wait for Ceph.",
            remedy="Look at the site's OSDs and the line to it; the calls end by themselves at Ceph's deadline.",
            sent=False,
        )

    def forbidden(self, what: str) -> PermanentError:
        user, pool = self.settings.user, self.settings.pool
        return PermanentError(
            f"Can't {what} in {self.where}: Ceph's client.{user} may not.",
            remedy=f"Give it the capabilities: `ceph auth caps client.{user} mon 'profile rbd' "
            f"osd 'profile rbd pool={pool}'`, and one more `profile rbd pool=` for each pool with clones of images.",
        )

    def no_image(self, name: str) -> NotFoundError:
        return NotFoundError(
            f"There is no RBD image {name} in {self.where}.", remedy="Look whether it was removed meanwhile."
        )

    def no_snapshot(self, name: str) -> NotFoundError:
        return NotFoundError(
            f"RBD image {name} in {self.where} has no snapshot {SNAPSHOT}.",
            remedy="It is half a copy: remove it from this store and copy it again.",
        )

    def in_use(self, what: str, by: str) -> ConflictError:
        return ConflictError(
            f"Can't {what} in {self.where}: {by}.",
            remedy="Wait until nobody uses it; `rbd status` names who has it open. The watch of a client that died "
            "ends after half a minute.",
        )
