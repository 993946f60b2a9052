"""The domain's records as people would write them in the configuration."""

from __future__ import annotations

from typing import Any

from edgesync.config.policy_entry import REST
from edgesync.config.units import format_duration, format_rate, format_share, format_size
from edgesync.config.windows import format_window
from edgesync.domain.bandwidth import Bandwidth, TimedRate
from edgesync.domain.policy import ALL, Match, Policy
from edgesync.domain.store import CephSettings, StoreId, StoreSettings


def show_uplink(uplink: Bandwidth) -> dict[str, Any] | None:
    return {"bandwidth": _show_bandwidth(uplink), "timezone": str(uplink.zone)} if uplink.rates else None


def show_store(store: StoreSettings) -> dict[str, Any]:
    return without_none(
        {
            "ceph": _show_ceph(store.ceph) if store.ceph else None,
            "max_concurrent": store.max_concurrent,
            "max_pool_fill": format_share(store.max_pool_fill),
            "windows": [format_window(window) for window in store.windows.windows] or None,
            "timezone": str(store.windows.zone),
            "overrun": str(store.overrun),
            "bandwidth": _show_bandwidth(store.bandwidth),
        }
    )


def _show_ceph(ceph: CephSettings) -> dict[str, Any]:
    return without_none({"conf": ceph.conf, "user": ceph.user, "pool": ceph.pool, "keyring": ceph.keyring})


def show_policy(policy: Policy, hub: StoreId) -> dict[str, Any]:
    return without_none(
        {
            "name": policy.name,
            "match": _show_match(policy.match) or ALL,
            "stores": ALL if policy.stores is None else sorted(policy.stores),
            "allow_failure": policy.allow_failure,
            "priority": policy.priority,
            "waves": _show_waves(policy, hub) or None,
            "stop_after_failures": policy.stop_after_failures,
            "prune": policy.prune,
            "prune_limit": policy.prune_limit,
            "repair": str(policy.repair) if policy.repair else None,
            "engine": str(policy.engine),
            "lag_objective": format_duration(policy.lag_objective.total_seconds()) if policy.lag_objective else None,
        }
    )


def _show_waves(policy: Policy, hub: StoreId) -> list[list[StoreId] | str]:
    """With `rest` where it stands for something, whether it was written or not."""
    named = frozenset({hub}).union(*policy.waves)
    complete = not policy.waves or (policy.stores is not None and policy.stores <= named)
    return [*(sorted(wave) for wave in policy.waves), *([] if complete else [REST])]


def _show_match(match: Match) -> dict[str, Any]:
    return without_none(
        {
            "id": sorted(match.ids) or None,
            "name": match.name,
            "visibility": match.visibility,
            "owner": match.owner,
            "tags": sorted(match.tags) or None,
            "properties": dict(sorted(match.properties.items())) or None,
            "hidden": match.hidden,
            "disk_format": sorted(match.disk_formats) or None,
            "min_size": None if match.min_size is None else format_size(match.min_size),
            "max_size": None if match.max_size is None else format_size(match.max_size),
        }
    )


def _show_bandwidth(bandwidth: Bandwidth) -> str | list[dict[str, Any]] | None:
    """As people would write it."""
    match bandwidth.rates:
        case ():
            return None
        case (TimedRate(rate=rate, windows=()),):
            return format_rate(rate)
    return [_show_rate(entry) for entry in bandwidth.rates]


def _show_rate(entry: TimedRate) -> dict[str, Any]:
    windows = {"windows": [format_window(window) for window in entry.windows]} if entry.windows else {}
    return {"rate": format_rate(entry.rate), **windows}


def without_none(mapping: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if value is not None}
