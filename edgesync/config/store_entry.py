"""What an entry of `stores` may say, and the domain's record of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from edgesync.config.bandwidth_entry import Timetable, to_bandwidth
from edgesync.config.expectations import WindowList, ZoneName, absolute, counting, matching, member_of
from edgesync.config.quantities import Share
from edgesync.config.schema import LimitSettings
from edgesync.config.section import Section
from edgesync.config.windows import find_zone
from edgesync.config.wording import quoted
from edgesync.domain.store import CephSettings, Overrun, StoreSettings
from edgesync.domain.window import Windows


def _cephx_name(text: str) -> str:
    short = text.removeprefix("client.")
    if short != text:
        raise ValueError(f"expected the name without `client.`, {quoted(short)}; found {quoted(text)}")
    return text


class CephEntry(Section):
    conf: Annotated[str, absolute("/etc/ceph/dcn0.conf")] = Field(
        description="the path of the cluster's configuration, like /etc/ceph/dcn0.conf"
    )
    user: Annotated[str, matching(r"\S+", "a cephx name like edgesync"), AfterValidator(_cephx_name)] = Field(
        description="the cephx name without `client.`, like edgesync"
    )
    pool: Annotated[str, matching(r"[^\s/@]+", "the name of a pool like images")] = "images"
    keyring: Annotated[str, absolute("/etc/ceph/dcn0.client.edgesync.keyring")] | None = None


class StoreEntry(Section):
    ceph: CephEntry | None = None
    # None: as `limits` says.
    max_concurrent: Annotated[int, counting(1, 64)] | None = None
    max_pool_fill: Share | None = None
    windows: WindowList = Field(default_factory=list)
    timezone: ZoneName = "UTC"
    overrun: Annotated[Overrun, member_of(Overrun)] = Overrun.FINISH
    # None: no limit.
    bandwidth: Timetable | None = None

    def to_domain(self, limits: LimitSettings) -> StoreSettings:
        return StoreSettings(
            max_concurrent=self.max_concurrent or limits.imports_per_store,
            ceph=CephSettings(**self.ceph.model_dump()) if self.ceph else None,
            max_pool_fill=self.max_pool_fill or limits.max_pool_fill,
            windows=Windows(windows=tuple(self.windows), zone=find_zone(self.timezone)),
            overrun=self.overrun,
            bandwidth=to_bandwidth(self.bandwidth, self.timezone),
        )
