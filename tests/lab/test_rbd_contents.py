"""Whatever an image holds and however its copies came to be: each of them hashes to what Glance wrote down."""

from __future__ import annotations

import string
from pathlib import Path

import pytest

from deploy.lab import upload
from deploy.lab.layout import Lab
from deploy.lab.readback import Readback, objects, rbd_images, readback
from deploy.lab.tamper import trash_list
from tests.lab.contents import BLOCK, GIB, MIB, Content, copies, full, held, noise
from tests.lab.daemon import EDGES, SITES, DaemonProcess

CONTENTS = {
    "1 byte": full(1),
    "4 MiB + 1": full(4 * MIB + 1),
    "all zeros": Content(size=12 * MIB, parts={}),
    "no zeros": full(13 * MIB),
    "every second block": Content(
        size=14 * MIB, parts={offset: noise(BLOCK, seed=3) for offset in range(BLOCK, 14 * MIB, 2 * BLOCK)}
    ),
}
# At its beginning, across the border of two objects, in the midst of nowhere, and in its last byte.
SPARSE = Content(
    size=3 * GIB,
    parts={
        0: noise(MIB, seed=1),
        GIB - 100: noise(200, seed=1),
        2 * GIB + 12345: noise(2 * MIB, seed=2),
        3 * GIB - 1: noise(1),
    },
)
# That takes seconds to find out. Were it another, edgesync would say that the data are not those that were uploaded.
SPARSE_SHA512 = (
    "8f36d8d5f36ef978ecea1b74f6f1b44808841129ca39a719f110e2c79e0cb3f8"
    "7ee541666bb043f8c91fc9d46e4e8555511c0e559aa4ff8b75fc6c6dd81462cf"
)


def put(mover: DaemonProcess, content: Content, folder: Path) -> str:
    """Upload it under a name like no other's: what is called alike would be layered on one another."""
    name = "".join(string.ascii_lowercase[int(digit)] for digit in str(content.size))
    image = mover.put_file(content.file(folder), name=name)
    assert mover.show(image)["os_hash_value"] == content.sha512
    return image


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_copies_hash_to_what_glance_wrote_down(
    shared_mover: DaemonProcess, lab: Lab, tmp_path: Path, content: Content
) -> None:
    image = put(shared_mover, content, tmp_path)
    shared_mover.until_at(image, *EDGES)
    assert shared_mover.imported(image) == []
    for store, copy in copies(lab, image).items():
        assert (copy.size, copy.sha512, copy.bootable) == (content.size, content.sha512, True)
        assert held(lab, store, copy) == content.objects(8 * MIB)


def test_copies_of_a_huge_image_of_next_to_nothing_take_next_to_nothing(shared_mover: DaemonProcess, lab: Lab) -> None:
    image = upload.plant(lab, SPARSE.parts, SPARSE.size, name="sparse", sha512=SPARSE_SHA512, tags=[shared_mover.tag])
    shared_mover.images.append(image)
    shared_mover.until_at(image, *EDGES)
    assert shared_mover.imported(image) == []
    assert shared_mover.show(image)["os_hash_value"] == SPARSE_SHA512
    for store, copy in copies(lab, image).items():
        assert (copy.size, copy.sha512, copy.bootable) == (SPARSE.size, SPARSE_SHA512, True)
        assert held(lab, store, copy) == SPARSE.objects(8 * MIB)


def test_a_copy_that_was_taken_up_after_a_crash_is_as_good(
    shared_mover: DaemonProcess, lab: Lab, tmp_path: Path
) -> None:
    stores = shared_mover.setting("stores")
    slow = {**stores, "dcn0": {**stores["dcn0"], "bandwidth": "10 Mbit/s"}}
    shared_mover.configure(stores=slow)
    shared_mover.hang_up()
    content = full(20 * MIB)
    image = put(shared_mover, content, tmp_path)
    temporary = f"{image}.edgesync"
    begun = Readback(exists=False)

    def half_way() -> bool:
        nonlocal begun
        begun = readback(lab, "dcn0", temporary)
        return begun.exists and 1 in held(lab, "dcn0", begun)

    shared_mover.until(half_way, "the second object of three is begun at dcn0")
    shared_mover.kill()
    assert shared_mover.stores_of(image) != sorted(SITES)
    shared_mover.configure(stores=stores)
    shared_mover.start()
    shared_mover.until_at(image, *EDGES)
    found = copies(lab, image)
    assert found["dcn0"].prefix == begun.prefix, "what had been begun was thrown away"
    assert {(copy.sha512, copy.bootable) for copy in found.values()} == {(content.sha512, True)}


def test_glance_deletes_all_these_copies_as_its_own(shared_mover: DaemonProcess, lab: Lab, tmp_path: Path) -> None:
    """One by one, and those of an image at once. Nothing is left of them."""
    if not shared_mover.images:
        shared_mover.until_at(put(shared_mover, full(4 * MIB + 1), tmp_path), *EDGES)
    shared_mover.stop()
    url = f"{lab.glance_url}/v2"
    for image in shared_mover.images:
        shared_mover.admin.delete(f"{url}/stores/dcn0/{image}")
        assert shared_mover.stores_of(image) == ["central", "dcn1"]
        assert not readback(lab, "dcn0", image).exists
        shared_mover.admin.delete(f"{url}/images/{image}")
    for site in SITES:
        assert (rbd_images(lab, site), trash_list(lab, site), objects(lab, site)) == ([], [], {})
