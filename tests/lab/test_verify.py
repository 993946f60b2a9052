"""Bytes that change behind everybody's back on real clusters: found by digests, named, and made good again."""

import hashlib
from collections.abc import Iterator

import pytest
import rbd
import requests

from deploy.lab import ceph, readback, tamper
from deploy.lab.images import random_image
from deploy.lab.layout import Lab
from tests.lab.daemon import EDGES, MIB, SITES, DaemonProcess

SIZE = 24 * MIB
OFFSET = 9 * MIB
NAMED = f"bytes {OFFSET}-{OFFSET + 65535}"


@pytest.fixture
def disk(lab: Lab) -> Iterator[str]:
    """The name of a disk that a test may clone at dcn0; it goes before the image does."""
    yield "disk"
    tamper.remove_image(lab, "dcn0", "disk", pool="vms")


def ids(lab: Lab, image: str) -> dict[str, str]:
    """Ceph's own ids of the RBD images under the copy's name."""
    found = {}
    for site in SITES:
        with ceph.pool(lab.site(site)) as pool, rbd.Image(pool, image, read_only=True) as handle:
            found[site] = handle.id()
    return found


def verify(daemon: DaemonProcess, image: str, *options: str) -> dict[str, tuple[str, str]]:
    """Store -> result and reason."""
    done = daemon.command("verify", image, "--wait", *options)
    job = next(job for job in daemon.get("/v1/jobs", image=image)["jobs"] if job["work"] == "verify")
    rows = {row["store"]: (row["result"], row["reason"]) for row in job["stores"]}
    bad = any(result in {"damaged", "failed"} for result, _ in rows.values())
    assert done.returncode == int(bad), done.stdout + done.stderr
    return rows


def test_copies_that_glance_made_have_the_images_digests(daemon: DaemonProcess) -> None:
    daemon.start()
    image = daemon.put(SIZE + 1)
    daemon.until_at(image, *EDGES)
    found = verify(daemon, image, "--deep")
    assert {store: result for store, (result, _) in found.items()} == dict.fromkeys(SITES, "sound")
    assert "sha512" in found["dcn0"][1]
    assert all(copy["verified_at"] for copy in daemon.copies(image).values())
    assert "verified" in daemon.command("status", image).stdout


def test_damage_is_named_and_mended_and_nobody_else_is_touched(mover: DaemonProcess, lab: Lab) -> None:
    mover.configure(audit={**mover.setting("audit"), "repair": "report"})
    mover.start()
    image = mover.put(SIZE)
    mover.until_at(image, *EDGES)
    before, locations = ids(lab, image), mover.show(image)["locations"]
    tamper.corrupt(lab, "dcn0", image, OFFSET, 100)

    found = verify(mover, image)
    assert {store: result for store, (result, _) in found.items()} == {
        "central": "sound",
        "dcn0": "damaged",
        "dcn1": "sound",
    }
    assert NAMED in found["dcn0"][1]
    mover.until_state(image, "dcn0", "broken", NAMED)
    metrics = requests.get(f"{mover.url}/metrics", timeout=10).text
    assert 'edgesync_findings{defect="damaged",store="dcn0"} 1.0' in metrics
    assert 'edgesync_verifications_total{result="damaged",store="dcn0"} 1.0' in metrics

    found = verify(mover, image, "--repair", "--store", "dcn0")
    assert found["dcn0"][0] == "repaired"
    assert "8192 KiB came from central" in found["dcn0"][1]
    mover.good(image, *SITES, size=SIZE)
    after = ids(lab, image)
    assert {site for site in SITES if after[site] != before[site]} == {"dcn0"}
    assert mover.show(image)["locations"] == locations
    assert readback.rbd_images(lab, "dcn0") == [image]
    assert [entry.id for entry in tamper.trash_list(lab, "dcn0") if "damaged" in entry.name] == [before["dcn0"]]
    assert verify(mover, image)["dcn0"][0] == "sound"
    mover.stop()
    mover.admin.delete(f"{lab.glance_url}/v2/images/{image}")
    assert all(image not in readback.rbd_images(lab, site) for site in SITES)


def test_disks_cloned_from_a_damaged_copy_live_on_and_are_named(mover: DaemonProcess, lab: Lab, disk: str) -> None:
    mover.start()
    image = mover.put(SIZE)
    mover.until_at(image, *EDGES)
    tamper.clone(lab, "dcn0", image, "vms", disk)
    tamper.corrupt(lab, "dcn0", image, OFFSET)
    # By itself, as the audit's settings say.
    found = verify(mover, image)
    assert found["dcn0"][0] == "damaged"
    told = mover.until_told(image, "copy-repaired")
    assert f"vms/{disk}" in told
    mover.good(image, *SITES, size=SIZE)
    good = random_image(SIZE, seed=SIZE % 97).read_bytes()
    with ceph.pool(lab.site("dcn0"), "vms") as pool, rbd.Image(pool, disk, read_only=True) as handle:
        damaged = bytearray(good)
        damaged[OFFSET] ^= 0xFF
        assert hashlib.sha512(handle.read(0, SIZE)).digest() == hashlib.sha512(damaged).digest()
        assert handle.parent_info()[1].startswith(f"{image}.damaged.")
    (kept,) = [name for name in readback.rbd_images(lab, "dcn0") if name != image]
    tamper.remove_image(lab, "dcn0", disk, pool="vms")
    tamper.remove_image(lab, "dcn0", kept)


def test_the_scrub_finds_damage_by_itself(mover: DaemonProcess, lab: Lab) -> None:
    mover.configure(scrub={"every": "1h", "bandwidth": "1 GB/s"})
    mover.start()
    image = mover.put(SIZE)
    mover.until_at(image, *EDGES)
    mover.stop()
    tamper.corrupt(lab, "dcn1", image, OFFSET)
    # Nothing is known of verifications, as in a journal of an earlier edgesync.
    for file in mover.config.parent.glob("journal.db*"):
        file.unlink()
    mover.start()
    assert NAMED in mover.until_told(image, "copy-broken")
    mover.until_told(image, "copy-repaired")
    mover.good(image, *SITES, size=SIZE)
