"""Two who want the same copy, and daemons that die: there is always exactly one good copy in the end."""

import os
import random
import time

import pytest

from deploy.lab.layout import Lab
from deploy.lab.readback import rbd_images, readback
from tests.lab.daemon import MIB, DaemonProcess

EDGES = ("dcn0", "dcn1")
SOAK = os.environ.get("EDGESYNC_SOAK") == "1"
ROUNDS = 50 if SOAK else 12
KILLS = 60 if SOAK else 20
SIZE = 24 * MIB
BLOCK = 64 * 1024
UNFINISHED = ".edgesync"


def test_a_rival_copy_image_of_the_same_copy_at_the_same_time(mover: DaemonProcess, lab: Lab) -> None:
    dice = random.Random(11)
    mover.start()
    for _ in range(ROUNDS):
        image = mover.put(SIZE, golden=False)
        mover.until_at(image, "central")
        job = mover.ask(image, "dcn0", engine="rbd")
        time.sleep(dice.uniform(0, 0.8))
        body = {"method": {"name": "copy-image"}, "stores": ["dcn0"], "all_stores_must_succeed": False}
        mover.admin.post(f"{lab.glance_url}/v2/images/{image}/import", json=body, raise_exc=False)
        assert mover.until_over(job)["state"] == "done", mover.events(image)
        mover.until_idle(image)
        mover.good(image, "central", "dcn0", size=SIZE)
        assert len(mover.show(image)["locations"]) == 2
    mover.until(
        lambda: not [name for name in rbd_images(lab, "dcn0") if name.endswith(UNFINISHED)],
        "what was begun for nothing is swept away",
    )


def unfinished(lab: Lab, store: str) -> dict[str, str]:
    """Image -> how the RADOS objects are called of its copy that is being made there, or was when somebody died."""
    names = [name for name in rbd_images(lab, store) if name.endswith(UNFINISHED)]
    return {name.removesuffix(UNFINISHED): readback(lab, store, name).prefix for name in names}


# Ten seconds a kill, where another lab is at work beside this one.
@pytest.mark.timeout(7200 if SOAK else 900)
def test_a_daemon_that_is_killed_at_random_goes_on_where_it_was(mover: DaemonProcess, lab: Lab) -> None:
    dice = random.Random(5)
    # Of different sizes, or each would be layered on the one before.
    sizes: dict[str, int] = {}
    begun: dict[tuple[str, str], str] = {}
    mover.start()
    for number in range(KILLS):
        size = SIZE + number * BLOCK
        sizes[mover.put(size)] = size
        if number % 2:
            # However slow the machine is, these come in the middle of a copy.
            mover.until(lambda: unfinished(lab, "dcn0"), "a copy is being made")
        else:
            time.sleep(dice.uniform(0.1, 1.5))
        mover.kill()
        begun |= {(image, store): prefix for store in EDGES for image, prefix in unfinished(lab, store).items()}
        for image in sizes:
            for store in set(mover.stores_of(image)) - {"central"}:
                assert readback(lab, store, image).bootable, "a location without its copy"
        mover.start()
    for image in sizes:
        mover.until_at(image, *EDGES)
    for image, size in sizes.items():
        mover.good(image, "central", *EDGES, size=size)
        assert mover.imported(image) == []
    for store in EDGES:
        assert sorted(rbd_images(lab, store)) == sorted(sizes)
    print(f"{KILLS} kills, {len(sizes)} images, {len(begun)} copies of them in the making")
    assert len(begun) >= KILLS // 4
    for (image, store), prefix in begun.items():
        assert readback(lab, store, image).prefix == prefix, "what had been begun was thrown away"
