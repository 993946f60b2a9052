"""Put an image into central: through Glance's own API as a person does, or past it where that would take too long."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import rbd
from keystoneauth1.session import Session

from deploy.lab import api, ceph
from deploy.lab.layout import HUB, Lab
from deploy.lab.readback import SNAPSHOT

DEADLINE = 600  # seconds for the whole image
_ORDER = 23  # 8 MiB, Glance's rbd_store_chunk_size


def upload(
    lab: Lab,
    file: Path,
    *,
    name: str,
    visibility: str = "public",
    tags: Sequence[str] = (),
    properties: Mapping[str, str] | None = None,
    user: str = "admin",
) -> str:
    """Upload a raw image and return its id. Only `admin` and `edgesync` may make a public one."""
    record = {**_raw(name, visibility, tags), **(properties or {})}
    with api.login(lab, user, DEADLINE) as session:
        image = str(session.post(f"{lab.glance_url}/v2/images", json=record).json()["id"])
        _put_data(session, f"{lab.glance_url}/v2/images/{image}/file", file)
    return image


def plant(lab: Lab, parts: Mapping[int, bytes], size: int, *, name: str, sha512: str, tags: Sequence[str] = ()) -> str:
    """Write an image of zeros, but for some parts, into central's Ceph, have Glance list it, and return its id.

    Gigabytes of zeros need not go through Glance for that. That they hash to `sha512`, it has to believe.
    """
    url = f"{lab.glance_url}/v2/images"
    with api.login(lab) as session:
        image = str(session.post(url, json=_raw(name, "public", tags)).json()["id"])
        location = {
            "url": _written(lab, image, parts, size),
            "metadata": {"store": HUB},
            "validation_data": {"os_hash_algo": "sha512", "os_hash_value": sha512},
        }
        session.patch(
            f"{url}/{image}",
            json=[{"op": "add", "path": "/locations/-", "value": location}],
            headers={"Content-Type": "application/openstack-images-v2.1-json-patch"},
        )
    return image


def _raw(name: str, visibility: str, tags: Sequence[str]) -> dict[str, object]:
    return {
        "name": name,
        "disk_format": "raw",
        "container_format": "bare",
        "visibility": visibility,
        "tags": list(tags),
    }


def _written(lab: Lab, image: str, parts: Mapping[int, bytes], size: int) -> str:
    """Write the image as Glance's driver does; its location's URL."""
    site = lab.site(HUB)
    with ceph.pool(site, user="glance") as pool:
        rbd.RBD().create(pool, image, size, order=_ORDER)
        with rbd.Image(pool, image) as handle:
            for offset, data in parts.items():
                handle.write(data, offset)
            handle.create_snap(SNAPSHOT)
            handle.protect_snap(SNAPSHOT)
    return f"rbd://{site.fsid}/images/{image}/{SNAPSHOT}"


def _put_data(session: Session, url: str, file: Path) -> None:
    with file.open("rb") as data:
        session.put(url, data=data, headers={"Content-Type": "application/octet-stream"})
