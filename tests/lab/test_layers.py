"""Copies layered on one another, between real clusters: seen, cloned, flattened, and what Glance's own deletes do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import rbd

from deploy.lab import ceph, tamper
from deploy.lab.images import random_image
from deploy.lab.layout import Lab
from deploy.lab.readback import readback
from tests.lab.daemon import MIB, DaemonProcess

BLOCK = 64 * 1024
SIZE = 24 * MIB


@contextmanager
def cloned_by(lab: Lab, store: str, clone_format: str) -> Iterator[None]:
    """Have the site's clients clone in that format of Ceph's, whatever the cluster's oldest client understands."""
    option = {"who": "client", "name": "rbd_default_clone_format"}
    with ceph.connect(lab.site(store)) as cluster:
        ceph.ask(cluster, "config set", value=clone_format, **option)
        try:
            yield
        finally:
            ceph.ask(cluster, "config rm", **option)


def layered(mover: DaemonProcess, folder: Path) -> tuple[str, str, str]:
    """Two images, the second layered on the first at both edges; the second's sha512."""
    first = random_image(SIZE, seed=11)
    data = bytearray(first.read_bytes())
    for start in (0, 5 * MIB, 20 * MIB):
        data[start : start + BLOCK] = bytes(reversed(data[start : start + BLOCK]))
    second = folder / "second.raw"
    second.write_bytes(data)
    base = mover.put_file(first, name="rhel-9.4-1")
    mover.until_at(base, "dcn0", "dcn1")
    upper = mover.put_file(second, name="rhel-9.4-2")
    mover.until_at(upper, "dcn0", "dcn1")
    assert readback(mover.lab, "dcn0", upper).parent == base
    mover.until(lambda: mover.copies(upper)["dcn0"]["base"] == base, "an audit has seen what it is layered on")
    return base, upper, hashlib.sha512(data).hexdigest()


def disk(lab: Lab, name: str) -> tuple[int, int, str]:
    """Object size, features and sha512 of a disk in dcn0's pool vms. A clone of format 2 has one feature more."""
    with ceph.pool(lab.site("dcn0"), "vms") as pool, rbd.Image(pool, name, read_only=True) as image:
        features = image.features() & ~rbd.RBD_FEATURE_OPERATIONS
        object_size, data = image.stat()["obj_size"], image.read(0, image.size())
    return object_size, features, hashlib.sha512(data).hexdigest()


def tree(mover: DaemonProcess, store: str = "dcn0") -> list[dict[str, Any]]:
    """All that `layers` shows of a site, each before what is on top of it."""
    (site,) = mover.json("layers", "--store", store)
    assert site["trouble"] == ""
    found = []
    left = list(site["layers"])
    while left:
        node = left.pop(0)
        found.append(node)
        left = [*node["layers"], *left]
    return found


def whole(lab: Lab, image: str, sha512: str, name: str, mover: DaemonProcess) -> None:
    """A copy at dcn0 reads as it should, boots, and so does a disk that is cloned from it."""
    found = readback(lab, "dcn0", image)
    assert (found.size, found.sha512, found.bootable) == (SIZE, sha512, True)
    made = mover.command("clone", image, "--store", "dcn0", "--pool", "vms", "--name", name)
    assert made.returncode == 0, made.stderr
    try:
        # As Nova's: 8 MiB, and not striped.
        assert disk(lab, name) == (8 * MIB, 61, sha512)
    finally:
        tamper.remove_image(lab, "dcn0", name, pool="vms")


def test_layers_are_seen_used_and_taken_apart(mover: DaemonProcess, lab: Lab, tmp_path: Path) -> None:
    mover.start()
    base, upper, sha512 = layered(mover, tmp_path)
    whole(lab, upper, sha512, "disk-1", mover)
    lowest, above = tree(mover)
    assert (lowest["name"], lowest["kind"], lowest["depth"], lowest["own"], lowest["shared"]) == (
        base,
        "image",
        0,
        SIZE,
        0,
    )
    assert (above["name"], above["image_name"], above["depth"]) == (upper, "rhel-9.4-2", 1)
    assert above["own"] == 3 * BLOCK
    assert above["own"] + above["shared"] == SIZE
    refused = mover.command("delete-copy", base, "--store", "dcn0", "--pause")
    assert refused.returncode == 1
    assert f"1 copy layered on it ({upper})" in refused.stderr
    assert f"edgesync flatten {upper} --store dcn0 --wait" in refused.stderr
    taken = mover.command("clone", upper, "--store", "dcn0", "--pool", "nowhere", "--name", "disk-2")
    assert (taken.returncode, "no pool nowhere" in taken.stderr) == (1, True)
    flat = mover.command("flatten", upper, "--store", "dcn0", "--wait", "-f", "json")
    assert flat.returncode == 0, flat.stderr
    assert json.loads(flat.stdout)["done"]
    assert [node["depth"] for node in tree(mover)] == [0, 0]
    gone = mover.command("delete-copy", base, "--store", "dcn0", "--pause", "--wait")
    assert gone.returncode == 0, gone.stderr
    assert not readback(lab, "dcn0", base).exists
    whole(lab, upper, sha512, "disk-3", mover)
    again = mover.command("flatten", upper, "--store", "dcn0")
    assert (again.returncode, "nothing to flatten" in again.stderr) == (1, True)


def test_glance_refuses_to_delete_a_base_cloned_by_format_1(mover: DaemonProcess, lab: Lab, tmp_path: Path) -> None:
    """Nothing of that copy is lost. Of the whole image, the copies that are in nobody's way go, the hub's first."""
    with cloned_by(lab, "dcn0", "1"):
        mover.start()
        base, upper, sha512 = layered(mover, tmp_path)
        mover.mark(base, golden=False)
        url = f"{lab.glance_url}/v2"
        assert mover.admin.delete(f"{url}/stores/dcn0/{base}", raise_exc=False).status_code == 409
        found = readback(lab, "dcn0", base)
        assert (found.exists, found.bootable) == (True, True)
        assert mover.admin.delete(f"{url}/images/{base}", raise_exc=False).status_code == 409
        assert mover.status_of(base) == "active"
        assert "central" not in mover.stores_of(base)
        whole(lab, upper, sha512, "disk-4", mover)
        # What is left is enough: it comes back to the hub, and from there to wherever it is wanted.
        mover.mark(base, golden=True)
        mover.until_at(base, "central", "dcn0", "dcn1")
        whole(lab, base, hashlib.sha512(random_image(SIZE, seed=11).read_bytes()).hexdigest(), "disk-5", mover)


def test_a_base_cloned_by_format_2_that_glance_deletes_lives_on_in_the_trash(
    mover: DaemonProcess, lab: Lab, tmp_path: Path
) -> None:
    with cloned_by(lab, "dcn0", "2"):
        mover.start()
        base, upper, sha512 = layered(mover, tmp_path)
        mover.mark(base, golden=False)
        mover.admin.delete(f"{lab.glance_url}/v2/stores/dcn0/{base}")
        assert not readback(lab, "dcn0", base).exists
        assert [entry.name for entry in tamper.trash_list(lab, "dcn0")] == [base]
        whole(lab, upper, sha512, "disk-6", mover)
        assert [(node["name"], node["kind"], node["depth"]) for node in tree(mover)] == [
            (base, "trash", 0),
            (upper, "image", 1),
        ]
        # It can't be removed for good as long as something needs it, whoever tries.
        with ceph.pool(lab.site("dcn0"), user="admin") as pool, pytest.raises(rbd.ImageHasSnapshots):
            rbd.RBD().trash_purge(pool)
        # Nor does an audit find anything to mend.
        audited = mover.store("dcn0")["audited_at"]
        mover.until(lambda: mover.store("dcn0")["audited_at"] != audited, "an audit")
        assert mover.store("dcn0")["findings"] == {}
        # It comes back beside what needs the old one.
        mover.mark(base, golden=True)
        mover.until_at(base, "dcn0")
        whole(lab, base, hashlib.sha512(random_image(SIZE, seed=11).read_bytes()).hexdigest(), "disk-7", mover)
        flat = mover.command("flatten", upper, "--store", "dcn0", "--wait")
        assert flat.returncode == 0, flat.stderr
        with ceph.pool(lab.site("dcn0"), user="admin") as pool:
            rbd.RBD().trash_purge(pool)
        assert tamper.trash_list(lab, "dcn0") == []
        whole(lab, upper, sha512, "disk-8", mover)
        whole(lab, base, hashlib.sha512(random_image(SIZE, seed=11).read_bytes()).hexdigest(), "disk-9", mover)


@pytest.mark.parametrize("store", ["central", "dcn0"])
def test_a_copy_that_lost_its_snapshot_gets_it_again(mover: DaemonProcess, lab: Lab, store: str) -> None:
    """The hub's, too; no data is sent, nor is anything taken off Glance's list."""
    mover.start()
    image = mover.put(SIZE)
    mover.until_at(image, "dcn0", "dcn1")
    mover.until(lambda: len(mover.events(image, "copy-done")) == 2, "the copies are recorded")
    with ceph.pool(lab.site(store), user="admin") as pool, rbd.Image(pool, image) as handle:
        handle.unprotect_snap("snap")
        handle.remove_snap("snap")
        made = handle.id()
    told = mover.until_told(image, "copy-repaired")
    assert "it is whole by its digests, and its snapshot was taken again" in told
    with ceph.pool(lab.site(store)) as pool, rbd.Image(pool, image, read_only=True) as handle:
        assert handle.id() == made
    mover.good(image, "central", "dcn0", "dcn1", size=SIZE)
    assert mover.imported(image) == []
