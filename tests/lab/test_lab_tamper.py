"""What is done behind everybody's back is really done, and nothing else with it."""

import subprocess
import time
from collections.abc import Callable
from datetime import datetime

import pytest
import rbd

from deploy.lab import api, ceph, images, readback, tamper, tasks, upload
from deploy.lab.errors import LabError
from deploy.lab.layout import Lab

SIZE = 12 * 2**20
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def image(lab: Lab) -> str:
    """An image with copies at central and dcn0."""
    image = upload.upload(lab, images.random_image(SIZE, seed=5), name="tampered")
    body = {"method": {"name": "copy-image"}, "stores": ["dcn0"], "all_stores_must_succeed": False}
    with api.login(lab) as session:
        session.post(f"{lab.glance_url}/v2/images/{image}/import", json=body)
    deadline = time.monotonic() + 30
    while "os_glance_import_task" in show(lab, image):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return image


def show(lab: Lab, image: str, what: str = "") -> dict[str, object]:
    with api.login(lab) as session:
        return dict(session.get(f"{lab.glance_url}/v2/images/{image}{what}").json())


def last_change(lab: Lab, image: str) -> datetime:
    (task,) = show(lab, image, "/tasks")["tasks"]  # type: ignore[misc]
    return datetime.fromisoformat(task["updated_at"])  # type: ignore[has-type]


def test_a_task_is_aged(lab: Lab, image: str, run: Run) -> None:
    before = last_change(lab, image)
    assert run("age-task", image, "--minutes", "61", "--name", lab.name).returncode == 0
    assert (before - last_change(lab, image)).total_seconds() == 61 * 60
    with pytest.raises(LabError, match="has no task"):
        tasks.age(lab, "00000000-0000-4000-8000-000000000000", 1)
    with pytest.raises(LabError, match="no image's id"):
        tasks.age(lab, "x' OR '1", 1)


def test_a_snapshot_is_unprotected(lab: Lab, image: str) -> None:
    tamper.unprotect_snap(lab, "dcn0", image)
    found = readback.readback(lab, "dcn0", image)
    assert (found.snapshot, found.protected) == (True, False)
    assert readback.readback(lab, "central", image).bootable


def test_a_clone_keeps_the_snapshot(lab: Lab) -> None:
    cloned = upload.upload(lab, images.random_image(SIZE, seed=5), name="cloned")
    tamper.clone(lab, "central", cloned, "vms", f"disk-{cloned}")
    with ceph.pool(lab.site("central")) as pool, rbd.Image(pool, cloned, snapshot="snap") as handle:
        assert [child["image"] for child in handle.list_children2()] == [f"disk-{cloned}"]
    tamper.remove_image(lab, "central", f"disk-{cloned}", pool="vms")
    assert readback.rbd_images(lab, "central", "vms") == []


def test_a_location_is_forgotten_and_the_data_stays(lab: Lab, image: str) -> None:
    tamper.remove_location(lab, image, "dcn0")
    assert show(lab, image)["stores"] == "central"
    assert image in readback.rbd_images(lab, "dcn0")
    with pytest.raises(LabError, match="no copy"):
        tamper.remove_location(lab, image, "dcn0")
    tamper.remove_image(lab, "dcn0", image)
    assert image not in readback.rbd_images(lab, "dcn0")
    tamper.remove_image(lab, "dcn0", image)


def test_a_partial_image_and_the_trash(lab: Lab) -> None:
    tamper.make_partial(lab, "dcn1", "partial", SIZE)
    assert readback.readback(lab, "dcn1", "partial") == readback.Readback(exists=True, size=SIZE)
    with ceph.pool(lab.site("dcn1")) as pool:
        rbd.RBD().trash_move(pool, "partial", 3600)
    (trashed,) = tamper.trash_list(lab, "dcn1")
    assert trashed.name == "partial"
    assert trashed.until.timestamp() - time.time() > 3000
    tamper.empty_trash(lab, "dcn1")
    assert tamper.trash_list(lab, "dcn1") == []
