"""Copies that are taken away, by a person or by a policy, and above all those that are not."""

from __future__ import annotations

import json
from pathlib import Path

from deploy.lab import tamper
from deploy.lab.images import random_image
from deploy.lab.layout import Lab
from deploy.lab.readback import readback
from tests.lab.daemon import EDGES, MIB, SITES, DaemonProcess, daemon_of

SMALL = 8 * MIB


def refused(daemon: DaemonProcess, *arguments: str) -> str:
    """Why `delete-copy` does not take the order, and what it says to do."""
    done = daemon.command("delete-copy", *arguments)
    assert done.returncode == 1, done.stdout
    assert done.stdout == ""
    return done.stderr


def put_at_an_edge(daemon: DaemonProcess, store: str) -> str:
    """Upload an image past the hub, so that its only copy is there."""
    url = f"{daemon.lab.glance_url}/v2/images"
    record = {"name": "edge-only", "disk_format": "raw", "container_format": "bare"}
    image = str(daemon.admin.post(url, json=record).json()["id"])
    daemon.images.append(image)
    headers = {"Content-Type": "application/octet-stream", "X-Image-Meta-Store": store}
    daemon.admin.put(f"{url}/{image}/file", data=random_image(SMALL, seed=1).read_bytes(), headers=headers)
    return image


def test_a_copy_is_deleted_at_one_site_and_stays_at_the_others(daemon: DaemonProcess) -> None:
    image = daemon.put(SMALL, golden=False)
    daemon.start()
    assert daemon.command("copy", image, "--all-stores", "--wait").returncode == 0
    done = daemon.command("delete-copy", image, "--store", "dcn0", "--wait", "-f", "json")
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert (job["work"], job["state"]) == ("remove", "done")
    assert [(row["store"], row["result"]) for row in job["stores"]] == [("dcn0", "removed")]
    # Whole and bootable at the others, and no RBD image at dcn0.
    daemon.good(image, "central", "dcn1", size=SMALL)
    assert daemon.states(image) == ["present", "absent", "unwanted"]
    told = [(event["kind"], event["store"]) for event in daemon.events(image) if event["job"] == job["id"]]
    assert told == [("job-created", "dcn0"), ("copy-removed", "dcn0"), ("job-ended", None)]
    again = daemon.command("copy", image, "--stores", "dcn0", "--wait")
    assert again.returncode == 0, again.stderr
    daemon.good(image, *SITES, size=SMALL)


def test_what_must_stay_is_refused_at_once_and_nothing_is_changed(daemon: DaemonProcess) -> None:
    image, golden = daemon.put(SMALL, golden=False), daemon.put(SMALL)
    last = put_at_an_edge(daemon, "dcn0")
    daemon.start()
    assert daemon.command("copy", image, "--stores", "dcn0", "--wait").returncode == 0
    daemon.until_at(golden, *EDGES)
    disk = f"{image}_disk"
    tamper.clone(daemon.lab, "dcn0", image, "vms", disk)
    try:
        assert f"in use: 1 disk cloned from it (vms/{disk})" in refused(daemon, image, "--store", "dcn0")
        assert f"vms/{disk}" in refused(daemon, image, "--store", "dcn0", "--pause")
        assert "central is the hub" in refused(daemon, image, "--store", "central")
        assert "no copy at dcn1\n  -> it is at: central, dcn0" in refused(daemon, image, "--store", "dcn1")
        assert "no store dcn7\n  -> its stores are central, dcn0, dcn1" in refused(daemon, image, "--store", "dcn7")
        assert "there is no image 'nonesuch'" in refused(daemon, "nonesuch", "--store", "dcn0")
        assert f"the last one of image {last}" in refused(daemon, last, "--store", "dcn0")
        wanted = refused(daemon, golden, "--store", "dcn1")
        assert "policy golden would bring" in wanted
        assert "add --pause" in wanted
        assert {job["work"] for job in daemon.get("/v1/jobs")["jobs"]} == {"copy"}
        assert daemon.get("/v1/pauses")["pauses"] == []
        assert daemon.stores_of(last) == ["dcn0"]
        daemon.good(image, "central", "dcn0", size=SMALL)
        daemon.good(golden, *SITES, size=SMALL)
    finally:
        tamper.remove_image(daemon.lab, "dcn0", disk, pool="vms")
    assert daemon.command("delete-copy", image, "--store", "dcn0", "--wait").returncode == 0


def test_a_clone_made_while_a_removal_waits_keeps_the_copy(daemon: DaemonProcess) -> None:
    image = daemon.put(SMALL, golden=False)
    daemon.start()
    assert daemon.command("copy", image, "--stores", "dcn0", "--wait").returncode == 0
    assert daemon.command("pause", "--store", "dcn0").returncode == 0
    job = daemon.json("delete-copy", image, "--store", "dcn0")["id"]
    daemon.until(lambda: "store dcn0 is paused" in daemon.job(job)["waiting"], "the removal waits")
    disk = f"{image}_disk"
    tamper.clone(daemon.lab, "dcn0", image, "vms", disk)
    try:
        assert daemon.command("resume", "--store", "dcn0").returncode == 0
        ended = daemon.until_over(job)
        assert ended["state"] == "failed"
        assert f"vms/{disk}" in ended["stores"][0]["reason"]
        assert f"vms/{disk}" in daemon.command("history", image, "--failed").stdout
        daemon.good(image, "central", "dcn0", size=SMALL)
    finally:
        tamper.remove_image(daemon.lab, "dcn0", disk, pool="vms")


def test_without_ceph_glance_has_the_last_word_and_it_is_passed_on(lab: Lab, tmp_path: Path) -> None:
    with daemon_of(lab, tmp_path, ceph=False) as daemon:
        image = daemon.put(SMALL, golden=False)
        disk = f"{image}_disk"
        try:
            daemon.start()
            assert daemon.command("copy", image, "--stores", "dcn0", "--wait").returncode == 0
            tamper.clone(lab, "dcn0", image, "vms", disk)
            done = daemon.command("delete-copy", image, "--store", "dcn0", "--wait")
            assert done.returncode == 1
            assert "in use" in done.stdout
            assert daemon.stores_of(image) == ["central", "dcn0"]
            assert readback(lab, "dcn0", image).bootable
        finally:
            daemon.stop()
            tamper.remove_image(lab, "dcn0", disk, pool="vms")
            daemon.forget_images()


def test_a_copy_that_a_policy_wants_stays_away_until_it_is_resumed(daemon: DaemonProcess) -> None:
    image = daemon.put(SMALL)
    daemon.start()
    daemon.until_at(image, *EDGES)
    # While the whole site is paused, a removal waits like a copy, and the copy would come back right after it.
    assert daemon.command("pause", "--store", "dcn1").returncode == 0
    assert "policy golden would bring" in refused(daemon, image, "--store", "dcn1")
    assert daemon.command("resume", "--store", "dcn1").returncode == 0
    done = daemon.command("delete-copy", image, "--store", "dcn1", "--pause", "--wait")
    assert done.returncode == 0, done.stderr
    resume = f"resume --image {image} --store dcn1"
    assert f"edgesync {resume}" in done.stderr
    daemon.kill()
    daemon.start()
    # What the policy wants elsewhere is still brought there, by many plans that leave this copy out.
    other = daemon.put(SMALL)
    daemon.until_at(other, *EDGES)
    waiting = daemon.copies(image)["dcn1"]
    assert (waiting["state"], waiting["reason"].partition(" is ")[0]) == (
        "waiting",
        f"paused: image {image} at dcn1",
    )
    assert f"edgesync {resume}" in daemon.command("status").stdout
    daemon.good(image, "central", "dcn0", size=SMALL)
    assert daemon.command(*resume.split()).returncode == 0
    daemon.until_at(image, *EDGES)
    assert daemon.imported(image) == ["dcn0", "dcn1", "dcn1"]


def pruning(daemon: DaemonProcess, *stores: str, full_pass: str) -> None:
    """Where the policy wants its images from now on, and how often all copies are looked at for pruning."""
    (policy,) = daemon.setting("policies")
    daemon.configure(
        policies=[{**policy, "stores": list(stores), "prune": True, "prune_limit": 2}],
        polling={**daemon.setting("polling"), "full_pass": full_pass},
    )


def test_pruning_takes_what_only_its_policy_had_made_and_no_longer_wants(daemon: DaemonProcess) -> None:
    asked = daemon.put(SMALL, golden=False)
    cloned, *others = images = [daemon.put(SMALL) for _ in range(4)]
    # Only the first look of each daemon is at everything.
    pruning(daemon, *EDGES, full_pass="1h")
    daemon.start()
    assert daemon.command("copy", asked, "--stores", "dcn0", "--wait").returncode == 0
    daemon.mark(asked, golden=True)
    for image in (asked, *images):
        daemon.until_at(image, *EDGES)
    disk = f"{cloned}_disk"
    tamper.clone(daemon.lab, "dcn0", cloned, "vms", disk)
    try:
        daemon.kill()
        pruning(daemon, "dcn1", full_pass="1h")
        daemon.start()
        # By then all plans of the only full pass have been carried out.
        later = daemon.put(SMALL)
        daemon.until_at(later, "dcn1")
        tried = [daemon.events(image, "copy-removed", "removal-failed") for image in images]
        assert sum(map(len, tried)) == 2
        pruning(daemon, "dcn1", full_pass="1s")
        daemon.hang_up()
        for image in others:
            daemon.until_told(image, "copy-removed")
            daemon.good(image, "central", "dcn1", size=SMALL)
        assert f"vms/{disk}" in daemon.until_told(cloned, "removal-failed")
        # Without its tag nobody wants it anywhere but where a person asked for it.
        daemon.mark(asked, golden=False)
        daemon.until(lambda: daemon.stores_of(asked) == ["central", "dcn0"], "the policy's copy is pruned")
        daemon.good(cloned, *SITES, size=SMALL)
        daemon.good(asked, "central", "dcn0", size=SMALL)
        daemon.good(later, "central", "dcn1", size=SMALL)
        assert [event["kind"] for event in daemon.events(cloned, "copy-removed", "removal-failed")] == [
            "removal-failed"
        ]
    finally:
        tamper.remove_image(daemon.lab, "dcn0", disk, pool="vms")
