"""Copies that edgesync makes itself, block by block, between real clusters."""

import hashlib
from pathlib import Path

import pytest

from deploy.lab import tamper
from deploy.lab.images import random_image
from deploy.lab.layout import Lab
from deploy.lab.readback import rbd_images, readback
from tests.lab.daemon import MIB, DaemonProcess

EDGES = ("dcn0", "dcn1")
BLOCK = 64 * 1024


@pytest.mark.parametrize("size", [1, 64 * 1024, 4 * MIB + 1, 24 * MIB], ids=str)
def test_copies_of_any_size_are_whole_and_bootable(mover: DaemonProcess, size: int) -> None:
    mover.start()
    image = mover.put(size)
    mover.until_at(image, *EDGES)
    mover.good(image, "central", *EDGES, size=size)
    assert mover.imported(image) == []


def test_glance_reads_and_deletes_our_copy_as_its_own(mover: DaemonProcess, lab: Lab) -> None:
    mover.start()
    image = mover.put(24 * MIB)
    mover.until_at(image, *EDGES)
    assert mover.imported(image) == []
    shown = mover.show(image)
    assert {entry["metadata"]["store"] for entry in shown["locations"]} == {"central", *EDGES}
    mover.stop()
    mover.admin.delete(f"{lab.glance_url}/v2/stores/dcn0/{image}")
    mover.good(image, "central", "dcn1", size=24 * MIB)


def test_a_second_version_is_layered_on_the_first(mover: DaemonProcess, lab: Lab, tmp_path: Path) -> None:
    """Only what differs crosses the line; the copy is whole, clonable, and Glance deletes both as its own."""
    first = random_image(24 * MIB, seed=7)
    second = tmp_path / "second.raw"
    data = bytearray(first.read_bytes())
    for start in (0, 5 * MIB, 5 * MIB + BLOCK, 20 * MIB):
        data[start : start + BLOCK] = bytes(reversed(data[start : start + BLOCK]))
    second.write_bytes(data)
    mover.start()
    base = mover.put_file(first, name="rhel-9.4-1")
    mover.until_at(base, *EDGES)
    image = mover.put_file(second, name="rhel-9.4-2")
    mover.until_at(image, *EDGES)
    mover.until(lambda: len(mover.events(image, "copy-done")) == 2, "the copies are recorded")
    assert mover.imported(image) == []
    told = {event["store"]: event["message"] for event in mover.events(image, "copy-planned")}
    assert told == {store: f"to {store}: 256 KiB on top of rhel-9.4-1 instead of 24 MiB" for store in EDGES}
    expected = hashlib.sha512(data).hexdigest()
    for store in EDGES:
        found = readback(lab, store, image)
        assert (found.size, found.sha512, found.bootable) == (len(data), expected, True)
        assert found.parent == base


def test_a_source_that_is_not_what_was_uploaded_is_not_spread(mover: DaemonProcess, lab: Lab) -> None:
    image = mover.put(24 * MIB, golden=False)
    tamper.corrupt(lab, "central", image, offset=9 * MIB, length=8)
    mover.start()
    mover.until_at(image, "central")
    job = mover.until_over(mover.ask(image, *EDGES, engine="rbd"))
    assert job["state"] == "failed"
    assert all("not those that were uploaded" in entry["reason"] for entry in job["stores"])
    assert mover.stores_of(image) == ["central"]
    for store in EDGES:
        assert rbd_images(lab, store) == []
