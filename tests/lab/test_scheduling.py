"""When copies are made: a rollout in waves, and windows that are closed and opened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from deploy.lab import faults, tamper
from deploy.lab.faults import How
from deploy.lab.layout import Lab
from tests.lab.daemon import EDGES, MIB, SITES, DaemonProcess, daemon_of

SMALL = 8 * MIB
# As far from UTC as it goes, so that a day there is never taken for one here.
ZONE = ZoneInfo("Pacific/Kiritimati")


def in_waves(daemon: DaemonProcess, *waves: object) -> None:
    (policy,) = daemon.setting("policies")
    daemon.configure(policies=[{**policy, "waves": list(waves)}])


def test_a_canary_has_its_copy_before_anybody_else_gets_one(daemon: DaemonProcess) -> None:
    image = daemon.put(SMALL)
    # Without waves, dcn0 would be first by its name.
    in_waves(daemon, ["dcn1"], "rest")
    faults.break_site(daemon.lab, "dcn1", How.PAUSE_OSD)
    daemon.start()
    daemon.until_state(image, "dcn1", "waiting", "store-down")
    daemon.until_state(image, "dcn0", "waiting", "wave: wave 1 of policy golden comes first: dcn1")
    assert "at dcn0: wave: wave 1 of policy golden comes first: dcn1" in daemon.command("status").stdout
    # A person who asks for it by hand does not mean the rollout.
    by_hand = daemon.put(SMALL)
    daemon.until_state(by_hand, "dcn0", "waiting", "wave: ")
    asked = daemon.command("copy", by_hand, "--stores", "dcn0", "--wait")
    assert asked.returncode == 0, asked.stderr
    assert daemon.tasks(image) == []
    faults.heal_site(daemon.lab, "dcn1")
    daemon.until(lambda: daemon.kinds(image).count("copy-done") == 2, "both copies are made")
    told = daemon.events(image, "copy-started", "copy-done")
    assert [event["kind"] for event in told] == ["copy-started", "copy-done"] * 2
    assert [event["store"] for event in told if event["kind"] == "copy-done"] == ["dcn1", "dcn0"]
    daemon.good(image, *SITES, size=SMALL)


def test_a_canary_that_fails_stops_the_rollout_until_it_is_mended(lab: Lab, tmp_path: Path) -> None:
    # Where Ceph isn't configured nothing is mended by itself.
    with daemon_of(lab, tmp_path, ceph=False) as daemon:
        image = daemon.put(SMALL)
        in_waves(daemon, ["dcn0"], "rest")
        tamper.make_partial(lab, "dcn0", image, SMALL)
        try:
            daemon.start()
            stopped = daemon.until_state(image, "dcn1", "waiting", "wave: ")
            assert stopped["reason"] in {
                "wave: wave 1 of policy golden comes first: dcn0",
                "wave: the rollout of policy golden has stopped: dcn0 failed",
            }
            daemon.until_told(image, "copy-failed")
            daemon.until_state(image, "dcn1", "waiting", "the rollout of policy golden has stopped: dcn0 failed")
            assert daemon.stores_of(image) == ["central"]
            assert "dcn1" not in daemon.imported(image)
            tamper.remove_image(lab, "dcn0", image)
            daemon.until_at(image, *EDGES)
            daemon.good(image, *SITES, size=SMALL)
        finally:
            daemon.stop()
            daemon.forget_images()


def test_copies_wait_for_their_window_unless_they_are_urgent(daemon: DaemonProcess) -> None:
    stores: dict[str, Any] = daemon.setting("stores")
    opens = datetime.now(ZONE).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
    shut = {"windows": [f"{opens:%a}".lower()], "timezone": ZONE.key}
    daemon.configure(stores={**stores, "dcn1": {**stores["dcn1"], **shut}})
    image, asked, urgent = daemon.put(SMALL), daemon.put(SMALL, golden=False), daemon.put(SMALL, golden=False)
    daemon.start()
    daemon.until_at(image, "dcn0")
    waiting = daemon.until_state(image, "dcn1", "waiting", "window: outside its window")
    assert datetime.fromisoformat(waiting["until"]) == opens
    assert f"the next one opens {opens.astimezone(UTC):%a %H:%M} UTC" in waiting["reason"]
    assert f"until {opens.astimezone():%Y-%m-%d %H:%M:%S}" in daemon.command("status").stdout
    assert f"{opens.astimezone():%Y-%m-%d %H:%M:%S}" in daemon.command("stores").stdout
    # A person waits as well.
    job = daemon.json("copy", asked, "--stores", "dcn1")["id"]
    daemon.until(lambda: "outside its window" in daemon.job(job)["stores"][0]["waiting"], "the job waits")
    at_once = daemon.command("copy", urgent, "--stores", "dcn1", "--urgent", "--wait")
    assert at_once.returncode == 0, at_once.stderr
    assert daemon.imported(image) == ["dcn0"]
    assert daemon.tasks(asked) == []
    daemon.configure(stores=stores)
    daemon.hang_up()
    daemon.until_at(image, *EDGES)
    assert daemon.until_over(job)["state"] == "done"
    daemon.good(image, *SITES, size=SMALL)
