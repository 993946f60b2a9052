"""What a person orders: copies, and which come first; that something is left alone, or not done after all."""

from __future__ import annotations

from deploy.lab import faults
from deploy.lab.faults import How
from tests.lab.daemon import EDGES, MIB, SITES, DaemonProcess

SMALL, LARGE = 8 * MIB, 64 * MIB


def did(daemon: DaemonProcess, *arguments: str) -> str:
    """What a command prints that has to succeed."""
    done = daemon.command(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def starts(daemon: DaemonProcess) -> list[tuple[str, str]]:
    """Image and message of everything that Glance was asked for, in order."""
    return [(event["image"], event["message"]) for event in daemon.events("", "copy-started")]


# --- copy


def test_copies_of_several_images_are_ordered_at_once(daemon: DaemonProcess) -> None:
    first, second, there = images = [daemon.put(SMALL, golden=False) for _ in range(3)]
    daemon.start()
    did(daemon, "copy", there, "--stores", "dcn1", "--wait")
    done = daemon.command("copy", first, "nonesuch", there, second, "--stores", "dcn1,dcn0", "--wait")
    # Each is tried: what is wrong with two of them keeps nothing from the others.
    assert done.returncode == 1
    assert "there is no image 'nonesuch'" in done.stderr
    assert f"image {there} is already in dcn1; nothing was copied" in done.stderr
    assert "2 of 4 requests failed" in done.stderr
    assert done.stdout.count("copied") == 4
    for image in (first, second):
        daemon.good(image, *SITES, size=SMALL)
    assert daemon.stores_of(there) == ["central", "dcn1"]
    assert sum(len(daemon.tasks(image)) for image in images) == 5


def test_a_dry_run_tells_and_changes_nothing(daemon: DaemonProcess) -> None:
    daemon.start()
    did(daemon, "pause", "--store", "dcn1", "--reason", "new switches")
    golden, other = daemon.put(SMALL), daemon.put(LARGE, golden=False)
    daemon.until_at(golden, "dcn0")
    told = did(daemon, "copy", other, "--all-stores", "--urgent", "--dry-run")
    now, later = [line.split(maxsplit=2)[2] for line in told.splitlines()[1:]]
    by_glance = "copy-image: the rbd engine is turned off (rbd.enabled)"
    assert now.split() == ["dcn0", "64.0", "MiB", "would", "start", "now;", *by_glance.split()]
    assert later.startswith("dcn1 ")
    assert "would wait: paused: store dcn1 is paused by" in later
    assert "new switches" in later
    assert "would wait: paused: store dcn1" in did(daemon, "copy", "--policy", "golden", "--dry-run")
    assert daemon.tasks(other) == []
    assert {job["image"] for job in daemon.get("/v1/jobs")["jobs"]} == {golden}
    assert other not in {event["image"] for event in daemon.events()}
    refused = daemon.command("copy", golden, "--stores", "dcn0", "--dry-run")
    assert refused.returncode == 1
    assert "already in dcn0" in refused.stderr


def test_a_policys_copies_can_be_ordered(daemon: DaemonProcess) -> None:
    images = [daemon.put(SMALL) for _ in range(2)]
    (policy,) = daemon.setting("policies")
    # By itself it would have to wait for its first wave.
    daemon.configure(policies=[{**policy, "waves": [["dcn0"], "rest"]}])
    faults.break_site(daemon.lab, "dcn0", How.PAUSE_OSD)
    daemon.start()
    for image in images:
        daemon.until_state(image, "dcn1", "waiting", "wave 1 of policy golden")
    unknown = daemon.command("copy", "--policy", "goldn")
    assert unknown.returncode == 1
    assert "there is no policy 'goldn'\n  -> the configuration has: golden" in unknown.stderr
    did(daemon, "copy", "--policy", "golden")
    for image in images:
        daemon.until_at(image, "dcn1")
        daemon.until_state(image, "dcn0", "waiting", "store-down")
    again = daemon.command("copy", "--policy", "golden")
    assert again.returncode == 0
    assert "nothing to copy: what policy golden wants is there, or asked for already" in again.stderr
    faults.heal_site(daemon.lab, "dcn0")
    for image in images:
        daemon.until_at(image, *EDGES)
        assert daemon.imported(image) == list(EDGES)
    assert {job["origin"] for job in daemon.get("/v1/jobs")["jobs"]} == {"person"}


def test_what_is_urgent_goes_before_everything_that_waits(daemon: DaemonProcess) -> None:
    daemon.configure(limits={"imports": 1})
    daemon.start()
    did(daemon, "pause", "--all")
    golden = [daemon.put(SMALL) for _ in range(2)]
    first, *asked, urgent = [daemon.put(SMALL, golden=False) for _ in range(4)]
    did(daemon, "copy", first, *asked, "--stores", "dcn1")
    did(daemon, "copy", urgent, "--stores", "dcn1", "--urgent")
    assert starts(daemon) == []
    did(daemon, "resume", "--all")
    for image in golden:
        daemon.until_at(image, *EDGES)
    order = [image for image, _ in starts(daemon)]
    # Then persons, first come first served, and then the policy.
    assert order[:4] == [urgent, first, *asked]
    assert set(order[4:]) == set(golden)
    assert "urgently" in daemon.events(urgent, "job-created")[0]["message"]


# --- cancel


def test_a_job_that_has_not_begun_is_cancelled(daemon: DaemonProcess) -> None:
    image = daemon.put(SMALL, golden=False)
    daemon.start()
    did(daemon, "pause", "--image", image)
    job = daemon.json("copy", image, "--all-stores")["id"]
    daemon.until(lambda: "is paused" in daemon.job(job)["waiting"], "the job waits")
    cancelled = did(daemon, "cancel", job)
    assert cancelled.count("cancelled by a person") == 2
    ended = daemon.job(job)
    assert (ended["state"], [row["result"] for row in ended["stores"]]) == ("cancelled", ["cancelled"] * 2)
    did(daemon, "resume", "--image", image)
    # Another one goes all the way, with the cancelled one long forgotten.
    did(daemon, "copy", image, "--stores", "dcn1", "--wait")
    assert daemon.imported(image) == ["dcn1"]
    again = daemon.command("cancel", job, "nonesuch")
    assert again.returncode == 1
    assert f"job {job} has ended already: cancelled" in again.stderr
    assert "nonesuch" in again.stderr


def test_what_glance_already_runs_goes_on_when_its_job_is_cancelled(daemon: DaemonProcess) -> None:
    image = daemon.put(LARGE, golden=False)
    daemon.start()
    job = daemon.ask(image, *EDGES)
    daemon.until_importing(image)
    (store,) = daemon.imported(image)
    (other,) = set(EDGES) - {store}
    faults.break_site(daemon.lab, store, How.PAUSE_OSD)
    done = daemon.command("cancel", job)
    assert done.returncode == 0, done.stderr
    assert f"note: Glance already writes the image to {store}, which can't be stopped" in done.stderr
    results = {row["store"]: row["result"] for row in daemon.job(job)["stores"]}
    assert results == {store: "pending", other: "cancelled"}
    faults.heal_site(daemon.lab, store)
    ended = daemon.until_over(job)
    assert ended["state"] == "cancelled"
    assert {row["store"]: row["result"] for row in ended["stores"]} == {store: "copied", other: "cancelled"}
    daemon.good(image, "central", store, size=LARGE)
    assert daemon.imported(image) == [store]
    told = [event["message"] for event in daemon.events(image, "job-cancelled", "job-ended")]
    assert f"what has begun goes on: {store}" in told[0]


# --- pause and resume


def test_pauses_survive_a_kill_and_say_why_until_they_are_lifted(daemon: DaemonProcess) -> None:
    daemon.start()
    did(daemon, "pause", "--store", "dcn1", "--reason", "new switches until Friday")
    image, paused = daemon.put(SMALL), daemon.put(SMALL, golden=False)
    did(daemon, "pause", "--image", paused)
    daemon.mark(paused, golden=True)
    daemon.until_at(image, "dcn0")
    daemon.kill()
    daemon.start()
    later = daemon.put(SMALL)
    daemon.until_at(later, "dcn0")
    planned = {(row["image"], *row["stores"]): row["why"] for row in daemon.json("plan") if row["action"] == "wait"}
    assert "store dcn1 is paused by" in planned[image, "dcn1"]
    assert planned[image, "dcn1"].endswith(": new switches until Friday")
    why = daemon.until_state(image, "dcn1", "waiting", "paused: store dcn1 is paused")["reason"]
    assert why.endswith(": new switches until Friday")
    shown = did(daemon, "status")
    assert "-> edgesync resume --store dcn1" in shown
    assert f"-> edgesync resume --image {paused}" in shown
    assert "new switches until Friday" in did(daemon, "stores")
    assert daemon.stores_of(paused) == ["central"]
    # Each is lifted by its own name, and only that.
    wrong = daemon.command("resume", "--store", "dcn0")
    assert wrong.returncode == 1
    assert "store dcn0 is not paused\n  -> what is paused: store dcn1; image" in wrong.stderr
    did(daemon, "resume", "--store", "dcn1")
    daemon.until_at(image, *EDGES)
    daemon.until_at(later, *EDGES)
    assert daemon.stores_of(paused) == ["central"]
    did(daemon, "pause", "--all")
    did(daemon, "resume", "--image", paused)
    daemon.kill()
    daemon.start()
    daemon.until_state(paused, "dcn0", "waiting", "paused: everything is paused")
    assert "-> edgesync resume --all" in did(daemon, "status")
    assert daemon.tasks(paused) == []
    did(daemon, "resume", "--all")
    daemon.until_at(paused, *EDGES)
    for copied in (image, paused):
        assert daemon.imported(copied) == list(EDGES)
