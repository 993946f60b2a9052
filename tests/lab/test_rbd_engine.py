"""Copies that edgesync makes itself, block by block, between real clusters."""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.lab import faults, links, tamper
from deploy.lab.faults import How
from deploy.lab.images import random_image
from deploy.lab.layout import Lab
from deploy.lab.readback import rbd_images, readback
from tests.lab.daemon import MIB, DaemonProcess

EDGES = ("dcn0", "dcn1")
BLOCK = 64 * 1024
# Seconds for which a line is cut, once the other sites are done.
CUT = 60 if os.environ.get("EDGESYNC_SOAK") == "1" else 5


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


def test_a_line_that_is_cut_holds_up_nobody_and_nothing_is_sent_twice(mover: DaemonProcess, lab: Lab) -> None:
    """The counters of the wire tell: what had arrived before the cut is not sent again."""
    if lab.site("dcn0").link is None:
        pytest.fail("the lab has no networks of its own here: `python -m deploy.lab status` says why")
    size = 256 * MIB
    image = mover.put(size, golden=False)
    mover.start()
    mover.until_at(image, "central")
    with limited(lab, 400_000_000):
        cut_and_heal(mover, lab, image, size)
    mover.good(image, "central", *EDGES, size=size)


def cut_and_heal(mover: DaemonProcess, lab: Lab, image: str, size: int) -> None:
    before = links.wire(lab, "dcn0").sent
    job = mover.ask(image, *EDGES, engine="rbd")
    mover.until(lambda: links.wire(lab, "dcn0").sent - before > size // 4, "a quarter has gone")
    faults.break_site(lab, "dcn0", How.CUT_NETWORK)
    mover.until_at(image, "dcn1")
    time.sleep(CUT)
    faults.heal_site(lab, "dcn0")
    assert mover.until_over(job)["state"] == "done", mover.events(image)
    sent = links.wire(lab, "dcn0").sent - before
    assert sent < 1.05 * size


@contextmanager
def limited(lab: Lab, rate: int) -> Iterator[None]:
    """Lines to the edges of so many bits per second."""
    for store in EDGES:
        links.limit(lab, lab.site(store), rate)
    try:
        yield
    finally:
        for store in EDGES:
            links.limit(lab, lab.site(store), 0)
