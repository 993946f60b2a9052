"""Glance and Keystone do here what they do in the field."""

import functools
import hashlib
import http.server
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openstack.config
import pytest
import requests
from keystoneauth1.session import Session

from deploy.lab import api, glance, images, keystone, layout, lifecycle, readback, render, status, upload
from deploy.lab.layout import Lab

SIZE = 12 * 2**20


@pytest.fixture(scope="module")
def source() -> Path:
    return images.random_image(SIZE, seed=7)


@pytest.fixture
def edgesync(lab: Lab) -> Iterator[Session]:
    with api.login(lab, "edgesync") as session:
        yield session


def sha512(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha512").hexdigest()


def show(session: Session, lab: Lab, image: str) -> dict[str, Any]:
    return dict(session.get(f"{lab.glance_url}/v2/images/{image}").json())


def imported(session: Session, lab: Lab, image: str, body: dict[str, object]) -> dict[str, Any]:
    """Import, wait until the lock is gone, and show the image."""
    session.post(f"{lab.glance_url}/v2/images/{image}/import", json=body)
    deadline = time.monotonic() + 30
    while "os_glance_import_task" in (seen := show(session, lab, image)) or seen["status"] != "active":
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
    return seen


def test_upload_is_read_back(lab: Lab, source: Path, edgesync: Session) -> None:
    image = upload.upload(lab, source, name="plain", tags=["golden"], properties={"os_distro": "none"})
    seen = show(edgesync, lab, image)
    assert (seen["status"], seen["stores"], seen["tags"], seen["os_distro"]) == (
        "active",
        "central",
        ["golden"],
        "none",
    )
    assert seen["visibility"] == "public"
    found = readback.readback(lab, "central", image)
    assert found == readback.Readback(exists=True, size=SIZE, snapshot=True, protected=True, sha512=sha512(source))
    assert image in readback.rbd_images(lab, "central")
    assert readback.readback(lab, "dcn0", image) == readback.Readback(exists=False)


def test_edgesync_copies_the_private_image_of_another(lab: Lab, source: Path, edgesync: Session) -> None:
    image = upload.upload(lab, source, name="private", visibility="private", user="member")
    assert image in {entry["id"] for entry in edgesync.get(f"{lab.glance_url}/v2/images").json()["images"]}
    body: dict[str, object] = {
        "method": {"name": "copy-image"},
        "all_stores": True,
        "all_stores_must_succeed": False,
    }
    seen = imported(edgesync, lab, image, body)
    assert set(seen["stores"].split(",")) == {"central", "dcn0", "dcn1"}
    assert {location["metadata"]["store"] for location in seen["locations"]} == {"central", "dcn0", "dcn1"}
    wanted = readback.Readback(exists=True, size=SIZE, snapshot=True, protected=True, sha512=sha512(source))
    assert [readback.readback(lab, site.name, image) for site in lab.sites] == [wanted] * 3


def test_image_can_be_downloaded_from_this_machine(lab: Lab, source: Path) -> None:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class calls it so
            pass

    handler = functools.partial(Quiet, directory=str(source.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, api.login(lab, "member") as member:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        record = {"name": "web", "disk_format": "raw", "container_format": "bare"}
        image = member.post(f"{lab.glance_url}/v2/images", json=record).json()["id"]
        uri = f"http://127.0.0.1:{server.server_port}/{source.name}"
        imported(member, lab, image, {"method": {"name": "web-download", "uri": uri}, "stores": ["central"]})
        server.shutdown()
    assert readback.readback(lab, "central", image).sha512 == sha512(source)


def test_image_can_be_imported_at_an_edge(lab: Lab, source: Path) -> None:
    with api.login(lab, "member") as member:
        record = {"name": "direct", "disk_format": "raw", "container_format": "bare"}
        image = member.post(f"{lab.glance_url}/v2/images", json=record).json()["id"]
        with source.open("rb") as data:
            kind = {"Content-Type": "application/octet-stream"}
            member.put(f"{lab.glance_url}/v2/images/{image}/stage", data=data, headers=kind)
        imported(member, lab, image, {"method": {"name": "glance-direct"}, "stores": ["dcn1"]})
    assert readback.readback(lab, "dcn1", image).bootable


def test_who_may_do_what(lab: Lab, source: Path) -> None:
    """Why edgesync's user is an admin: the service role sees the stores, but no image and no copy-image."""
    image = upload.upload(lab, source, name="of-admin", visibility="private")
    body = {"method": {"name": "copy-image"}, "stores": ["dcn0"], "all_stores_must_succeed": False}
    allowed: dict[str, list[int]] = {}
    for user in ("member", "glance", "edgesync"):
        with api.login(lab, user) as session:
            answers = [
                session.get(f"{lab.glance_url}/v2/info/stores/detail", raise_exc=False),
                session.get(f"{lab.glance_url}/v2/images/{image}", raise_exc=False),
                session.get(f"{lab.glance_url}/v2/cache", raise_exc=False),
                session.post(f"{lab.glance_url}/v2/images/{image}/import", json=body, raise_exc=False),
            ]
        allowed[user] = [answer.status_code for answer in answers]
    assert allowed == {
        "member": [403, 404, 403, 404],
        "glance": [200, 404, 403, 404],
        "edgesync": [200, 200, 200, 202],
    }


# openstacksdk 4.22 takes its own defaults for somebody's configuration of InfluxDB, and warns.
@pytest.mark.filterwarnings("ignore:Support for InfluxDB")
@pytest.mark.parametrize("cloud", ["edgesync", "edgesync-appcred", "admin", "member"])
def test_clouds_file_logs_in(lab: Lab, cloud: str) -> None:
    config = openstack.config.OpenStackConfig(config_files=[str(lab.clouds_file)], load_envvars=False)
    region = config.get_one(cloud)
    session = region.get_session()
    assert session.get_endpoint(service_type="image", interface="public") == lab.glance_url
    assert session.get(f"{lab.glance_url}/v2/images").status_code == 200
    session.session.close()


def refused(url: str, token: dict[str, str]) -> bool:
    """Whether the token is refused, once Glance no longer remembers that it was good."""
    deadline = time.monotonic() + render.TOKEN_CACHE + 5
    while time.monotonic() < deadline:
        if requests.get(url, headers=token, timeout=10).status_code == 401:
            return True
        time.sleep(0.5)
    return False


def test_expired_tokens_are_soon_refused(lab: Lab, edgesync: Session) -> None:
    url = f"{lab.glance_url}/v2/images"
    token = {"X-Auth-Token": str(edgesync.get_token())}
    assert requests.get(url, headers=token, timeout=10).status_code == 200
    keystone.expire_tokens(lab)
    assert refused(url, token)
    with api.login(lab, "edgesync") as again:
        assert again.get(url).status_code == 200


def test_token_lifetime_can_be_changed(breakable: Lab) -> None:
    try:
        lifecycle.up(breakable.name, token_lifetime=5)
        with api.login(breakable) as session:
            token = {"X-Auth-Token": str(session.get_token())}
        assert requests.get(f"{breakable.glance_url}/v2/images", headers=token, timeout=10).status_code == 200
        time.sleep(6)
        assert refused(f"{breakable.glance_url}/v2/images", token)
    finally:
        lifecycle.up(breakable.name, token_lifetime=3600)


def test_glance_is_killed_with_its_workers_and_restarted(breakable: Lab) -> None:
    process = glance.running(breakable)
    assert process is not None
    glance.kill(breakable)
    assert not api.answers(f"{breakable.glance_url}/healthcheck")
    assert "glance" in {service.name for service in status.status(breakable) if not service.healthy}
    glance.ensure(breakable)
    assert status.healthy(breakable)
    assert glance.running(breakable) != process


def test_the_glance_client_works_with_openrc(lab: Lab) -> None:
    shell = f". {lab.openrc_file}; {layout.OPENSTACK}/bin/glance stores-info"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "dcn1" in done.stdout
