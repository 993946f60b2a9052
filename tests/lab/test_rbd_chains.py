"""Versions of an image, layered on one another as deep as may be: each is whole, of use, and Glance's own."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import rbd

from deploy.lab import ceph, tamper
from deploy.lab.layout import Lab
from deploy.lab.readback import objects, rbd_images, readback, sha512
from tests.lab.contents import BLOCK, MIB, Content, copies, full, held, noise
from tests.lab.daemon import EDGES, SITES, DaemonProcess

# Of an odd size: the last object of each has one byte.
FIRST = full(8 * MIB + 1, seed=21)
# Each differs from the one before in a little, the second in its last byte, too.
VERSIONS = (
    FIRST,
    FIRST.changed(0, 8 * MIB),
    FIRST.changed(0, 8 * MIB, 3 * MIB),
    FIRST.changed(0, 8 * MIB, 3 * MIB, 5 * MIB + BLOCK),
)
DEEPEST = len(VERSIONS) - 1


@pytest.fixture(scope="module")
def chain(shared_mover: DaemonProcess, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The versions' images, each layered on the one before, at both edges."""
    folder = tmp_path_factory.mktemp("chain")
    images = []
    for number, version in enumerate(VERSIONS, 1):
        images.append(shared_mover.put_file(version.file(folder), name=f"rhel-9.4-{number}"))
        shared_mover.until_at(images[-1], *EDGES)
    return images


@contextmanager
def disk(lab: Lab, store: str, image: str) -> Iterator[str]:
    """A VM's disk, cloned from the copy; the sha512 of what the VM reads."""
    tamper.clone(lab, store, image, "vms", "disk")
    try:
        with ceph.pool(lab.site(store), "vms") as pool, rbd.Image(pool, "disk", read_only=True) as handle:
            yield sha512(handle)
    finally:
        tamper.remove_image(lab, store, "disk", pool="vms")


@contextmanager
def still(mover: DaemonProcess) -> Iterator[None]:
    """The daemon sees nothing of what is done meanwhile."""
    mover.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        mover.signal(signal.SIGCONT)


@pytest.mark.parametrize("depth", range(DEEPEST + 1))
def test_a_copy_hashes_to_what_glance_wrote_down_at_every_depth(
    shared_mover: DaemonProcess, lab: Lab, chain: list[str], depth: int
) -> None:
    image, version = chain[depth], VERSIONS[depth]
    assert shared_mover.show(image)["os_hash_value"] == version.sha512
    assert shared_mover.imported(image) == []
    for store, found in copies(lab, image).items():
        assert (found.size, found.sha512, found.bootable) == (version.size, version.sha512, True)
        assert found.parent == (chain[depth - 1] if depth else "")
        assert len(held(lab, store, found)) == (2, 2, 1, 1)[depth]


@pytest.mark.parametrize("depth", [0, DEEPEST])
@pytest.mark.parametrize("store", EDGES)
def test_a_disk_cloned_from_a_copy_reads_the_same_bytes(lab: Lab, chain: list[str], store: str, depth: int) -> None:
    with disk(lab, store, chain[depth]) as found:
        assert found == VERSIONS[depth].sha512


@pytest.mark.parametrize("depth", [0, DEEPEST])
@pytest.mark.parametrize("store", SITES)
def test_glance_reads_the_same_bytes_from_every_store(
    shared_mover: DaemonProcess, lab: Lab, chain: list[str], store: str, depth: int
) -> None:
    image = chain[depth]
    with still(shared_mover), tamper.only_in(lab, image, store):
        assert shared_mover.stores_of(image) == [store]
        data = shared_mover.admin.get(f"{lab.glance_url}/v2/images/{image}/file").content
    assert hashlib.sha512(data).hexdigest() == VERSIONS[depth].sha512
    assert shared_mover.stores_of(image) == sorted(SITES)


def test_a_larger_version_is_layered_on_the_smaller_one_before_it(
    shared_mover: DaemonProcess, lab: Lab, tmp_path: Path
) -> None:
    """It differs in its first block, goes on where the other ended, inside a block, and has a hole beyond."""
    first = full(5 * MIB + 3, seed=22)
    new = {first.size: noise(BLOCK, seed=23), first.size + 2 * MIB: noise(MIB + 1, seed=24)}
    second = Content(size=first.size + 3 * MIB + 1, parts={**first.changed(0).parts, **new})
    images = []
    for number, version in enumerate((first, second), 1):
        images.append(shared_mover.put_file(version.file(tmp_path), name=f"grown-{number}"))
        shared_mover.until_at(images[-1], *EDGES)
    assert shared_mover.imported(images[1]) == []
    assert shared_mover.show(images[1])["os_hash_value"] == second.sha512
    for store, found in copies(lab, images[1]).items():
        assert (found.size, found.sha512, found.bootable) == (second.size, second.sha512, True)
        assert found.parent == images[0]
        assert readback(lab, store, images[0]).sha512 == first.sha512
        with disk(lab, store, images[1]) as read:
            assert read == second.sha512
    for image in reversed(images):
        shared_mover.admin.delete(f"{lab.glance_url}/v2/images/{image}")


def test_what_is_deeper_than_allowed_is_flattened_and_stays_what_it_is(
    shared_mover: DaemonProcess, lab: Lab, chain: list[str]
) -> None:
    shared_mover.stop()
    shared_mover.configure(rbd={**shared_mover.setting("rbd"), "max_depth": DEEPEST - 1})
    shared_mover.start()
    for store in EDGES:
        # The lowest that will do: all that are above it stay layered.
        shared_mover.until(lambda: readback(lab, store, chain[1]).parent == "", f"{store} is flattened")  # noqa: B023
        for image, version, parent in zip(chain, VERSIONS, ("", "", *chain[1:-1]), strict=True):
            found = readback(lab, store, image)
            assert (found.sha512, found.bootable, found.parent) == (version.sha512, True, parent)
        with disk(lab, store, chain[DEEPEST]) as read:
            assert read == VERSIONS[DEEPEST].sha512


def test_glance_deletes_layered_copies_as_its_own(shared_mover: DaemonProcess, lab: Lab, chain: list[str]) -> None:
    """What is on top first, as Ceph wants it. Nothing is left of any."""
    shared_mover.stop()
    url = f"{lab.glance_url}/v2"
    for image in reversed(chain):
        shared_mover.admin.delete(f"{url}/stores/dcn0/{image}")
        assert shared_mover.stores_of(image) == ["central", "dcn1"]
        assert image not in rbd_images(lab, "dcn0")
        shared_mover.admin.delete(f"{url}/images/{image}")
    for site in SITES:
        assert (rbd_images(lab, site), tamper.trash_list(lab, site), objects(lab, site)) == ([], [], {})
