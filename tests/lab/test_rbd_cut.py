"""A line that is cut while edgesync copies over it. Needs sites that are networks of their own."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.lab import faults, links
from deploy.lab.faults import How
from deploy.lab.layout import Lab
from tests.lab.conftest import needs_links
from tests.lab.daemon import MIB, DaemonProcess

pytestmark = needs_links

EDGES = ("dcn0", "dcn1")
# Seconds for which a line is cut, once the other sites are done.
CUT = 60 if os.environ.get("EDGESYNC_SOAK") == "1" else 5


def test_a_line_that_is_cut_holds_up_nobody_and_nothing_is_sent_twice(mover: DaemonProcess, lab: Lab) -> None:
    """The counters of the wire tell: what had arrived before the cut is not sent again."""
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
