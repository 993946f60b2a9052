"""Put an image into central the way a person does: through Glance's own API."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from keystoneauth1.session import Session

from deploy.lab import api
from deploy.lab.layout import Lab

DEADLINE = 600  # seconds for the whole image


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
    record = {
        "name": name,
        "disk_format": "raw",
        "container_format": "bare",
        "visibility": visibility,
        "tags": list(tags),
        **(properties or {}),
    }
    with api.login(lab, user, DEADLINE) as session:
        image = str(session.post(f"{lab.glance_url}/v2/images", json=record).json()["id"])
        _put_data(session, f"{lab.glance_url}/v2/images/{image}/file", file)
    return image


def _put_data(session: Session, url: str, file: Path) -> None:
    with file.open("rb") as data:
        session.put(url, data=data, headers={"Content-Type": "application/octet-stream"})
