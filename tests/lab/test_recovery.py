"""Crashes, rivals and tampering: everything comes right again without a human, and nothing is done twice."""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.lab import faults, glance, tamper, tasks
from deploy.lab.faults import How
from deploy.lab.images import random_image
from deploy.lab.layout import OPENSTACK
from deploy.lab.readback import rbd_images, readback
from tests.lab.daemon import EDGES, MIB, SITES, DaemonProcess

SMALL, LARGE = 16 * MIB, 64 * MIB
SOAK = os.environ.get("EDGESYNC_SOAK") == "1"
# Seconds for which a rival fires; how often the daemon is killed.
RIVALRY = 120 if SOAK else 30
KILLS = 60 if SOAK else 20


def test_a_crashed_glance_is_outlasted_without_a_human(daemon: DaemonProcess) -> None:
    image = daemon.put(LARGE, golden=False)
    daemon.start()
    job = daemon.ask(image, "dcn0")
    daemon.until(lambda: image in rbd_images(daemon.lab, "dcn0"), "dcn0 is being written")
    faults.break_site(daemon.lab, "dcn0", How.PAUSE_OSD)
    glance.kill(daemon.lab)
    faults.heal_site(daemon.lab, "dcn0")
    glance.ensure(daemon.lab)
    copy = daemon.until_state(image, "dcn0", "stalled")
    assert "its lock can be taken at" in copy["next"], copy
    assert daemon.imported(image) == ["dcn0"], "nothing is sent while the lock holds"
    assert readback(daemon.lab, "dcn0", image).exists, "nothing is taken away while the lock holds"
    tasks.age(daemon.lab, image, 61)
    assert daemon.until_over(job)["state"] == "done"
    daemon.good(image, "central", "dcn0", size=LARGE)
    assert daemon.imported(image) == ["dcn0", "dcn0"]
    assert [entry.name for entry in tamper.trash_list(daemon.lab, "dcn0")] == [image]
    told = [kind for kind in daemon.kinds(image) if kind.startswith(("copy-", "orphan-"))]
    assert [kind for kind in told if kind in {"copy-stalled", "copy-interrupted", "orphan-trashed", "copy-done"}] == [
        "copy-stalled",
        "copy-interrupted",
        "orphan-trashed",
        "copy-done",
    ]
    assert not re.search(r"\b409\b", daemon.log.read_text()), "nothing was tried before its time"


@contextmanager
def rivals(daemon: DaemonProcess, *images: str) -> Iterator[None]:
    """People who ask for the same copies with the `glance` client, one for each edge and one for all stores."""
    script = """
    . {openrc}
    while true; do for image in {images}; do
      {glance} image-import "$image" --import-method copy-image {stores} --allow-failure True
    done; done"""
    wanted = ["--stores dcn0", "--stores dcn1", "--all-stores True"]
    environment = {"openrc": daemon.lab.openrc_file, "images": " ".join(images), "glance": OPENSTACK / "bin/glance"}
    clients = [
        subprocess.Popen(
            ["bash", "-c", script.format(stores=stores, **environment)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )
        for stores in wanted
    ]
    try:
        yield
    finally:
        for client in clients:
            os.killpg(client.pid, 9)
            said = client.communicate(timeout=30)[0]
            print("\n".join(sorted({line[:150] for line in said.splitlines() if "HTTP" in line})))


def test_rivals_with_the_glance_client_never_make_a_job_fail(daemon: DaemonProcess) -> None:
    daemon.start()
    images: list[str] = []
    deadline = time.monotonic() + RIVALRY
    while time.monotonic() < deadline:
        batch = [daemon.put(SMALL) for _ in range(3)]
        images += batch
        with rivals(daemon, *batch):
            for image in batch:
                daemon.until_at(image, *EDGES)
    daemon.until(lambda: all(daemon.stores_of(image) == sorted(SITES) for image in images), "all are everywhere")
    theirs = 0
    for image in images:
        daemon.until_idle(image)
        assert daemon.events(image, failed="true") == []
        for edge in EDGES:
            copied = [task for task in daemon.tasks(image) if edge in task["input"]["backend"]]
            assert [task["status"] for task in copied].count("success") == 1, copied
        theirs += "rival-import" in daemon.kinds(image)
        assert {job["state"] for job in daemon.get("/v1/jobs", image=image)["jobs"]} <= {"done"}
    daemon.good(images[-1], *SITES, size=SMALL)
    print(f"{len(images)} images, {theirs} of them copied by a rival in part")


def test_a_daemon_killed_again_and_again_does_nothing_twice(daemon: DaemonProcess) -> None:
    dice = random.Random(20)
    images = [daemon.put(SMALL) for _ in range(3)]
    for number in range(KILLS):
        if number % 4 == 3:
            images.append(daemon.put(SMALL))
        daemon.launch()
        if number % 4 == 3:
            # However slow the machine is, some kills come in the middle of a copy.
            daemon.until_importing(images[-1])
        else:
            time.sleep(dice.uniform(0.8, 4))
        daemon.kill()
    daemon.start()
    for image in images:
        daemon.until_at(image, *EDGES)
    daemon.until(lambda: not daemon.get("/v1/jobs", state="running")["jobs"], "nothing is left open")
    for image in images:
        assert daemon.imported(image) == list(EDGES)
        assert daemon.stores_of(image) == sorted(SITES)
        assert "copy-failed" not in daemon.kinds(image)
    daemon.good(images[0], *SITES, size=SMALL)
    followed = sum(daemon.kinds(image).count("copy-followed") for image in images)
    print(f"{KILLS} kills, {len(images)} images, {followed} imports taken up")
    assert followed > 0
    for site in SITES:
        assert set(rbd_images(daemon.lab, site)) >= set(images)
        assert tamper.trash_list(daemon.lab, site) == []
        assert daemon.store(site)["findings"] == {}


def test_what_is_done_behind_its_back_is_found_and_put_right(daemon: DaemonProcess) -> None:
    unprotected, removed, forgotten, lost, deleted = images = [daemon.put(SMALL) for _ in range(5)]
    daemon.start()
    for image in images:
        daemon.until_at(image, *EDGES)
    daemon.stop()
    tamper.unprotect_snap(daemon.lab, "dcn0", unprotected)
    tamper.remove_image(daemon.lab, "dcn1", removed)
    tamper.remove_location(daemon.lab, forgotten, "dcn0")
    tamper.remove_location(daemon.lab, lost, "dcn1")
    tamper.remove_image(daemon.lab, "dcn1", lost)
    tamper.remove_location(daemon.lab, deleted, "dcn0")
    daemon.admin.delete(f"{daemon.lab.glance_url}/v2/images/{deleted}")
    daemon.start()
    daemon.until(lambda: "copy-repaired" in daemon.kinds(unprotected), "the snapshot is protected again")
    daemon.until(lambda: "copy-repaired" in daemon.kinds(removed), "the copy without data is off the list")
    for image in (forgotten, deleted):
        daemon.until_told(image, "orphan-trashed")
    for image in images[:-1]:
        daemon.until_at(image, *EDGES)
        daemon.good(image, *SITES, size=SMALL)
    assert not readback(daemon.lab, "dcn0", deleted).exists
    assert sorted(entry.name for entry in tamper.trash_list(daemon.lab, "dcn0")) == sorted([forgotten, deleted])
    found = {(event["kind"], event["image"]) for event in daemon.events("", "copy-broken", "orphan-found")}
    assert found == {
        ("copy-broken", unprotected),
        ("copy-broken", removed),
        ("orphan-found", forgotten),
        ("orphan-found", deleted),
    }
    assert "is protected again" in daemon.events(unprotected, "copy-repaired")[0]["message"]
    assert "moved into RBD's trash" in daemon.events(forgotten, "orphan-trashed")[0]["message"]
    assert daemon.imported(unprotected) == list(EDGES)
    assert daemon.imported(removed) == ["dcn0", "dcn1", "dcn1"]
    assert daemon.imported(lost) == ["dcn0", "dcn1", "dcn1"]
    assert daemon.imported(forgotten) == ["dcn0", "dcn0", "dcn1"]


def test_what_is_not_proven_an_orphan_is_left_alone(daemon: DaemonProcess) -> None:
    image = daemon.put(SMALL)
    daemon.start()
    daemon.until_at(image, *EDGES)
    daemon.stop()
    tamper.clone(daemon.lab, "dcn0", image, "vms", f"{image}_disk")
    stranger = image[:-4] + "0000"
    tamper.make_partial(daemon.lab, "dcn1", stranger, SMALL)
    try:
        tamper.remove_location(daemon.lab, image, "dcn0")
        daemon.start()
        copy = daemon.until_state(image, "dcn0", "orphan", seconds=40)
        assert f"vms/{image}_disk" in copy["next"], copy
        daemon.until(lambda: daemon.store("dcn1")["findings"] == {"orphan": 1}, "the stranger is reported")
        assert "never had it copied here" in daemon.store("dcn1")["found"][0]["next"]
        assert daemon.imported(image) == list(EDGES)
        assert {*rbd_images(daemon.lab, "dcn0"), *rbd_images(daemon.lab, "dcn1")} >= {image, stranger}
    finally:
        tamper.remove_image(daemon.lab, "dcn0", f"{image}_disk", pool="vms")
        tamper.remove_image(daemon.lab, "dcn1", stranger)
    daemon.until_at(image, *EDGES)


def test_an_image_uploaded_at_an_edge_comes_to_central_and_then_to_the_others(daemon: DaemonProcess) -> None:
    file = random_image(SMALL, seed=SMALL % 97)
    url = f"{daemon.lab.glance_url}/v2/images"
    record = {"name": "from-dcn0", "disk_format": "raw", "container_format": "bare", "visibility": "public"}
    image = str(daemon.admin.post(url, json={**record, "tags": [daemon.tag]}).json()["id"])
    daemon.images.append(image)
    headers = {"Content-Type": "application/octet-stream", "X-Image-Meta-Store": "dcn0"}
    daemon.admin.put(f"{url}/{image}/file", data=file.read_bytes(), headers=headers)
    assert daemon.stores_of(image) == ["dcn0"]
    planned = {(row["action"], *row["stores"]): row["why"] for row in daemon.json("plan")}
    assert ("copy", "central") in planned
    assert "every copy comes from there" in planned["wait", "dcn1"]
    daemon.start()
    daemon.until_at(image, *EDGES)
    daemon.good(image, *SITES, size=SMALL)
    assert daemon.sent(image) == [("copy-image", ["central"]), ("copy-image", ["dcn1"])]
