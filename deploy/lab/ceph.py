"""Talk to a site's cluster, every call with a deadline: librados by itself waits for ever."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import rados

from deploy.lab.errors import LabError
from deploy.lab.layout import Site

DEADLINE = 10  # seconds
_CANARY = "edgesync-lab-canary"


@contextmanager
def connect(site: Site, user: str = "admin", deadline: int = DEADLINE) -> Iterator[rados.Rados]:
    """A connection as that client. Failures are librados' own: `rados.Error`."""
    limits = ("rados_osd_op_timeout", "rados_mon_op_timeout", "client_mount_timeout")
    cluster = rados.Rados(conffile=str(site.conf), rados_id=user, conf={limit: str(deadline) for limit in limits})
    try:
        cluster.connect()
        yield cluster
    finally:
        cluster.shutdown()


@contextmanager
def pool(site: Site, name: str = "images", user: str = "edgesync", deadline: int = DEADLINE) -> Iterator[rados.Ioctx]:
    """One pool of the site, open."""
    with connect(site, user, deadline) as cluster, cluster.open_ioctx(name) as ioctx:
        yield ioctx


def ask(cluster: rados.Rados, prefix: str, **arguments: object) -> Any:
    """Give the monitor a command; its JSON answer, or nothing where it has none."""
    code, out, error = cluster.mon_command(json.dumps({"prefix": prefix, "format": "json", **arguments}), b"")
    if code != 0:
        raise LabError(f"ceph {prefix}: {error or f'error {code}'}")
    return json.loads(out) if out.strip() else None


def touch(cluster: rados.Rados, name: str = "images") -> None:
    """Write and remove one object: the OSD takes writes, or this raises within the deadline."""
    with cluster.open_ioctx(name) as ioctx:
        ioctx.write_full(_CANARY, b"")
        ioctx.remove_object(_CANARY)
