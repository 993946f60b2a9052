"""Sites that die, hang or fill up: nothing else slows down, and what waited goes on by itself."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from deploy.lab import faults, glance, tamper, tasks
from deploy.lab.faults import How
from deploy.lab.readback import rbd_images
from tests.lab.conftest import LINKED
from tests.lab.daemon import EDGES, MIB, SITES, DaemonProcess

SMALL, LARGE = 16 * MIB, 64 * MIB
CUT = [How.CUT_NETWORK] if LINKED else []


def seconds_until_at(daemon: DaemonProcess, site: str) -> tuple[list[str], float]:
    """Upload four images while edgesync is paused, then let it go: how long until all of them are at the site."""
    assert daemon.command("pause", "--all").returncode == 0
    images = [daemon.put(SMALL) for _ in range(4)]
    for image in images:
        daemon.until_state(image, site, "waiting", "paused")
    began = time.monotonic()
    assert daemon.command("resume", "--all").returncode == 0
    for image in images:
        daemon.until_at(image, site)
    return images, time.monotonic() - began


@pytest.mark.parametrize("how", [How.PAUSE_OSD, How.KILL_OSD, How.PAUSE_SITE, *CUT])
def test_a_dead_site_holds_up_no_other(
    daemon: DaemonProcess, how: How, record_property: Callable[[str, object], None]
) -> None:
    daemon.start()
    images, healthy = seconds_until_at(daemon, "dcn1")
    for image in images:
        daemon.until_at(image, *EDGES)
    faults.break_site(daemon.lab, "dcn0", how)
    daemon.until(lambda: daemon.store("dcn0")["health"]["state"] != "closed", "dcn0 is known to be down")
    images, broken = seconds_until_at(daemon, "dcn1")
    record_property("ratio", round(broken / healthy, 2))
    print(f"{how}: {healthy:.1f} s with dcn0 healthy, {broken:.1f} s with it dead, ratio {broken / healthy:.2f}")
    for image in images:
        daemon.until_state(image, "dcn0", "waiting", "store-down: the site ")
        assert daemon.imported(image) == ["dcn1"]
    assert "dcn0" in daemon.command("status").stdout
    faults.heal_site(daemon.lab, "dcn0")
    for image in images:
        daemon.until_at(image, *EDGES)
        assert daemon.imported(image) == list(EDGES)
    daemon.good(images[0], *SITES, size=SMALL)
    assert daemon.events("", "store-down", store="dcn0")
    assert daemon.events("", "store-back", store="dcn0")
    assert not any("failed" in kind for image in images for kind in daemon.kinds(image))


@pytest.mark.parametrize("how", [How.PAUSE_OSD, How.KILL_OSD, *CUT])
def test_a_site_that_dies_in_mid_import_is_named_as_the_cause(daemon: DaemonProcess, how: How) -> None:
    image = daemon.put(LARGE, golden=False)
    daemon.start()
    job = daemon.ask(image, "dcn0")
    daemon.until(lambda: image in rbd_images(daemon.lab, "dcn0"), "dcn0 is being written")
    faults.break_site(daemon.lab, "dcn0", how)
    copy = daemon.until_state(image, "dcn0", "stalled")
    assert copy["cause"] == "store-down"
    assert "dcn0 does not answer" in copy["reason"]
    assert "Glance goes on by itself once dcn0 is back" in copy["next"]
    daemon.until_told(image, "copy-stalled")
    assert f"{image}" in daemon.command("status").stdout
    faults.heal_site(daemon.lab, "dcn0")
    assert daemon.until_over(job)["state"] == "done"
    daemon.good(image, "central", "dcn0", size=LARGE)
    assert daemon.imported(image) == ["dcn0"]


def test_all_or_nothing_waits_for_a_dead_site_and_leaves_nothing_when_cancelled(daemon: DaemonProcess) -> None:
    image = daemon.put(SMALL, golden=False)
    daemon.start()
    faults.break_site(daemon.lab, "dcn0", How.KILL_OSD)
    daemon.until(lambda: daemon.store("dcn0")["health"]["state"] != "closed", "dcn0 is known to be down")
    job = daemon.json("copy", image, "--all-stores", "--no-allow-failure")["id"]
    daemon.until(lambda: "store-down" in daemon.job(job)["stores"][0]["waiting"], "the job says what it waits for")
    daemon.until(lambda: "all or nothing" in daemon.job(job)["stores"][1]["waiting"], "so does the other store")
    cancelled = daemon.command("cancel", job)
    assert cancelled.returncode == 0, cancelled.stderr
    assert daemon.until_over(job)["state"] == "cancelled"
    assert daemon.tasks(image) == []
    faults.heal_site(daemon.lab, "dcn0")
    daemon.good(image, "central", size=SMALL)


def test_all_or_nothing_that_fails_in_the_middle_leaves_nothing_anywhere(daemon: DaemonProcess) -> None:
    image = daemon.put(SMALL, golden=False)
    daemon.start()
    job = daemon.ask(image, *EDGES, allow_failure=False)
    daemon.until_importing(image)
    faults.break_site(daemon.lab, "dcn0", How.PAUSE_OSD)
    # Glance writes dcn0 first, and then stumbles over this.
    tamper.make_partial(daemon.lab, "dcn1", image, SMALL)
    faults.heal_site(daemon.lab, "dcn0")
    ended = daemon.until_over(job)
    assert ended["state"] == "failed"
    results = {entry["store"]: (entry["result"], entry["reason"]) for entry in ended["stores"]}
    assert results["dcn0"] == ("reverted", "all or nothing: no copy here because dcn1 failed")
    assert results["dcn1"][0] == "failed"
    assert daemon.stores_of(image) == ["central"]
    daemon.until(lambda: image not in rbd_images(daemon.lab, "dcn1"), "what was in the way is trashed")
    daemon.good(image, "central", size=SMALL)
    assert daemon.imported(image) == list(EDGES)


def test_all_or_nothing_broken_off_by_a_crash_keeps_no_copy_of_the_others(daemon: DaemonProcess) -> None:
    image = daemon.put(LARGE, golden=False)
    daemon.start()
    job = daemon.ask(image, *EDGES, allow_failure=False)
    daemon.until(lambda: image in rbd_images(daemon.lab, "dcn0"), "dcn0 is being written")
    faults.break_site(daemon.lab, "dcn1", How.PAUSE_OSD)
    daemon.until(lambda: "dcn0" in daemon.stores_of(image), "dcn0 has its copy")
    glance.kill(daemon.lab)
    glance.ensure(daemon.lab)
    tasks.age(daemon.lab, image, 61)
    daemon.until(lambda: daemon.stores_of(image) == ["central"], "the copy of dcn0 is taken away")
    daemon.until(lambda: daemon.job(job)["stores"][1]["waiting"], "the job waits for dcn1")
    assert daemon.command("cancel", job).returncode == 0
    assert daemon.until_over(job)["state"] == "cancelled"
    faults.heal_site(daemon.lab, "dcn1")
    daemon.until(lambda: image not in rbd_images(daemon.lab, "dcn1"), "what the crash left at dcn1 is trashed")
    daemon.good(image, "central", size=LARGE)


def test_a_full_pool_is_waited_for_with_the_figures(daemon: DaemonProcess) -> None:
    faults.break_site(daemon.lab, "dcn1", How.FULL_POOL)
    image = daemon.put(SMALL)
    daemon.start()
    daemon.until_at(image, "dcn0")
    copy = daemon.until_state(image, "dcn1", "waiting", "capacity: ")
    assert "GiB" in copy["reason"] or "%" in copy["reason"]
    faults.heal_site(daemon.lab, "dcn1", How.FULL_POOL)
    daemon.until_at(image, *EDGES)
    daemon.good(image, *SITES, size=SMALL)
    assert daemon.imported(image) == list(EDGES)


def test_a_pool_is_not_filled_beyond_what_is_configured(daemon: DaemonProcess) -> None:
    stores = daemon.setting("stores")
    daemon.configure(stores={**stores, "dcn1": {**stores["dcn1"], "max_pool_fill": "1%"}})
    # More than a hundredth of the lab's 20 GB.
    image = daemon.put(256 * MIB)
    daemon.start()
    daemon.until_at(image, "dcn0")
    copy = daemon.until_state(image, "dcn1", "waiting", "capacity: ")
    assert "1%" in copy["reason"]
    daemon.configure(stores=stores)
    daemon.hang_up()
    daemon.until_at(image, *EDGES)
    assert daemon.imported(image) == list(EDGES)
