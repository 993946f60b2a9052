"""New images brought in, from a web server and from a file: to central and the edges, or nothing is left anywhere."""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deploy.lab import faults, tamper
from deploy.lab.faults import How
from deploy.lab.images import random_image
from deploy.lab.layout import ROOT
from deploy.lab.readback import rbd_images
from tests.lab.daemon import EDGES, EDGESYNC, MIB, SITES, DaemonProcess
from tests.lab.pages import web_pages

SIZE = 32 * MIB


def file_of(size: int) -> Path:
    """The file that `DaemonProcess.good` expects."""
    return random_image(size, seed=size % 97)


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    """The URL of a web server that Glance can reach."""
    with web_pages(file_of(SIZE).read_bytes()) as url:
        yield url


def bring(daemon: DaemonProcess, *arguments: str) -> tuple[Any, str]:
    """Run `edgesync import`, which has to succeed; its job, and what it said on the way."""
    done = daemon.command("import", *arguments, "-f", "json")
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    daemon.images.append(job["image"])
    return job, done.stderr


def results(job: Any) -> dict[str, str]:
    return {entry["store"]: entry["result"] for entry in job["stores"]}


def waits(daemon: DaemonProcess, job: Any) -> dict[str, str]:
    return {entry["store"]: entry["waiting"] for entry in daemon.job(job["id"])["stores"]}


def waits_as_a_whole(daemon: DaemonProcess, job: Any) -> bool:
    """Whether all of its stores wait because dcn1 is down."""
    told = waits(daemon, job)
    return "store-down" in told["dcn1"] and all("all or nothing" in told[site] for site in ("central", "dcn0"))


def no_trace(daemon: DaemonProcess, image: str) -> None:
    """Neither Glance nor any site knows anything of it."""
    assert daemon.status_of(image) == ""
    for site in SITES:
        assert image not in rbd_images(daemon.lab, site), site
        assert tamper.trash_list(daemon.lab, site) == [], site


def test_a_uri_comes_to_all_sites_as_it_is_described(daemon: DaemonProcess, web: str) -> None:
    daemon.start()
    options = ["--hidden", "--min-disk", "3", "--min-ram", "512", "--visibility", "public", "--disk-format", "raw"]
    options += ["--property", "hw_disk_bus=scsi", "--property", "os_version=9.4", "--tag", "el9", "--tag", "rhel"]
    job, said = bring(daemon, f"{web}/image", "--name", "rhel 9.4", "--all-stores", *options, "--wait")
    assert results(job) == dict.fromkeys(SITES, "copied")
    for site in SITES:
        assert f"rhel 9.4 -> {site}: copied in 0:" in said, said
    assert "0 B/s" not in said, "Glance tells the size of what it fetches when it has it"
    daemon.good(job["image"], *SITES, size=SIZE)
    shown = daemon.show(job["image"])
    expected = {"name": "rhel 9.4", "os_hidden": True, "min_disk": 3, "min_ram": 512, "visibility": "public"}
    expected |= {"disk_format": "raw", "container_format": "bare", "hw_disk_bus": "scsi", "os_version": "9.4"}
    assert {key: shown[key] for key in expected} == expected
    assert sorted(shown["tags"]) == ["el9", "rhel"]
    assert daemon.imported(job["image"]) == sorted(SITES)
    # A hidden image is not in Glance's lists, and yet edgesync knows it.
    daemon.until_at(job["image"], *SITES)


def test_an_import_goes_to_the_stores_it_names_and_to_central(daemon: DaemonProcess, web: str) -> None:
    daemon.start()
    source = (f"{web}/image", "--disk-format", "raw", "--name")
    asked = {
        ("central",): bring(daemon, *source, "a"),
        ("central", "dcn1"): bring(daemon, *source, "b", "--store", "dcn1"),
        ("central", *EDGES): bring(daemon, *source, "c", "--stores", "dcn0,dcn1", "--no-allow-failure"),
    }
    for sites, (job, said) in asked.items():
        assert ("note: central was added" in said) == (len(sites) > 1)
        assert daemon.until_over(job["id"])["state"] == "done"
        daemon.good(job["image"], *sites, size=SIZE)
        assert len(daemon.tasks(job["image"])) == 1
    refused = daemon.command("import", *source, "d", "--store", "dcn7")
    assert refused.returncode == 1
    assert "Glance has no store dcn7" in refused.stderr
    assert len(daemon.get("/v1/jobs")["jobs"]) == 3


def test_a_uri_from_which_nothing_comes_leaves_nothing(daemon: DaemonProcess, web: str) -> None:
    daemon.start()
    with socket.socket() as unheard:
        # Bound, but not listening: nobody else takes the port, and whoever connects is refused.
        unheard.bind(("127.0.0.1", 0))
        for uri in (f"{web}/missing", f"http://127.0.0.1:{unheard.getsockname()[1]}/image"):
            done = daemon.command("import", uri, "--name", "n", "--all-stores", "--disk-format", "raw", "--wait")
            (job,) = daemon.get("/v1/jobs", limit="1")["jobs"]
            assert done.returncode == 1, done.stderr
            assert f"edgesync history {job['image']} --failed" in done.stderr
            assert results(job) == dict.fromkeys(SITES, "failed")
            told = daemon.command("history", job["image"], "--failed", "-f", "value").stdout
            assert told.count(f"Glance could not import {uri}; glance-api's log tells why") == 3
            assert f"curl -fIL {uri}" in told
            assert "its image record was deleted again" in told
            no_trace(daemon, job["image"])
    assert daemon.get("/v1/health")["problems"] == []


def test_a_file_is_staged_for_central_and_then_copied_out(daemon: DaemonProcess) -> None:
    daemon.start()
    job, said = bring(daemon, "--file", str(file_of(SIZE)), "--name", "from-file", "--all-stores", "--wait")
    assert f"{file_of(SIZE).name} -> staging: sent in 0:" in said
    for site in SITES:
        assert f"from-file -> {site}: copied" in said, said
    assert "the import into central goes first" not in said.split("-> dcn0")[0], "central waits for nothing"
    daemon.good(job["image"], *SITES, size=SIZE)
    assert daemon.sent(job["image"]) == [
        ("glance-direct", ["central"]),
        ("copy-image", ["dcn0"]),
        ("copy-image", ["dcn1"]),
    ]
    whole, _ = bring(
        daemon, "--file", str(file_of(SIZE)), "--name", "w", "--all-stores", "--no-allow-failure", "--wait"
    )
    daemon.good(whole["image"], *SITES, size=SIZE)
    assert [task["input"]["backend"] for task in daemon.tasks(whole["image"])] == [list(SITES)]


def test_a_file_that_does_not_arrive_leaves_nothing(daemon: DaemonProcess) -> None:
    daemon.start()
    missing = daemon.command("import", "--file", "/nowhere/rhel.raw", "--name", "n")
    assert missing.returncode == 2
    assert "'/nowhere/rhel.raw' does not exist" in missing.stderr
    assert daemon.get("/v1/jobs")["jobs"] == []
    with sending(daemon) as (client, job):
        client.send_signal(signal.SIGINT)
        # Nothing gets on before the person has lost patience.
        daemon.signal(signal.SIGCONT)
        _, said = client.communicate(timeout=60)
    assert client.returncode == 130
    assert f"the file was not sent whole; job {job['id']} is over, and its image is deleted again" in said
    assert "Traceback" not in said
    assert results(daemon.until_over(job["id"])) == {"central": "failed"}
    no_trace(daemon, job["image"])
    with sending(daemon) as (client, job):
        daemon.kill()
        _, said = client.communicate(timeout=60)
    assert client.returncode == 1
    assert f"job {job['id']} and its image are cleared away when the daemon runs again" in said
    daemon.start()
    assert results(daemon.until_over(job["id"])) == {"central": "failed"}
    assert "lost when edgesync stopped; send it again" in daemon.job(job["id"])["stores"][0]["reason"]
    no_trace(daemon, job["image"])
    assert list((daemon.lab.folder / "glance/staging").iterdir()) == []
    assert "Traceback" not in daemon.log.read_text()


@contextmanager
def sending(daemon: DaemonProcess) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """A command that sends a file, and its job; the daemon stands still when a part of the data has come through."""
    known = {job["id"] for job in daemon.get("/v1/jobs")["jobs"]}
    command = [*EDGESYNC, "--config", str(daemon.config), "import", "--file", str(file_of(8 * SIZE)), "--name", "n"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT) as client:
        daemon.until(lambda: len(daemon.get("/v1/jobs")["jobs"]) > len(known), "the job is taken")
        (job,) = [job for job in daemon.get("/v1/jobs")["jobs"] if job["id"] not in known]
        daemon.images.append(job["image"])
        daemon.until(lambda: daemon.status_of(job["image"]) == "uploading", "Glance gets the data")
        daemon.signal(signal.SIGSTOP)
        assert daemon.status_of(job["image"]) == "uploading", "the file was through before"
        yield client, job


def test_an_import_does_without_a_dead_site_unless_it_is_all_or_nothing(daemon: DaemonProcess, web: str) -> None:
    daemon.start()
    faults.break_site(daemon.lab, "dcn1", How.PAUSE_OSD)
    daemon.until(lambda: daemon.store("dcn1")["health"]["state"] != "closed", "dcn1 is known to be down")
    source = (f"{web}/image", "--disk-format", "raw", "--all-stores", "--name")
    some, _ = bring(daemon, *source, "some")
    daemon.until_at(some["image"], "central", "dcn0")
    daemon.until(lambda: "store-down: the site " in waits(daemon, some)["dcn1"], "the job says what it waits for")
    daemon.until_state(some["image"], "dcn1", "waiting", "store-down: the site ")
    whole, _ = bring(daemon, *source, "whole", "--no-allow-failure")
    given_up, _ = bring(daemon, *source, "given-up", "--no-allow-failure")
    for job in (whole, given_up):
        daemon.until(partial(waits_as_a_whole, daemon, job), "the other stores wait for dcn1")
    cancelled = daemon.command("cancel", given_up["id"])
    assert cancelled.returncode == 0, cancelled.stderr
    faults.heal_site(daemon.lab, "dcn1")
    for job in (some, whole):
        assert daemon.until_over(job["id"])["state"] == "done"
        daemon.good(job["image"], *SITES, size=SIZE)
        assert daemon.imported(job["image"]) == sorted(SITES)
    assert daemon.job(given_up["id"])["state"] == "cancelled"
    no_trace(daemon, given_up["image"])


def test_all_or_nothing_that_fails_at_the_last_site_leaves_nothing(daemon: DaemonProcess, web: str) -> None:
    # An audit in between would find what is in the way, and nothing would be sent before a person has looked.
    often = daemon.setting("audit")
    daemon.configure(audit={**often, "every": "1h"})
    daemon.start()
    assert daemon.command("pause", "--store", "dcn1").returncode == 0
    source = (f"{web}/image", "--disk-format", "raw", "--all-stores", "--name", "n", "--no-allow-failure")
    job, _ = bring(daemon, *source)
    # Glance has written central and dcn0 when it stumbles over this.
    tamper.make_partial(daemon.lab, "dcn1", job["image"], SIZE)
    assert daemon.command("resume", "--store", "dcn1").returncode == 0
    ended = daemon.until_over(job["id"])
    assert results(ended) == dict.fromkeys(SITES, "failed")
    daemon.configure(audit=often)
    daemon.hang_up()
    daemon.until(lambda: job["image"] not in rbd_images(daemon.lab, "dcn1"), "what was in the way is trashed")
    assert [entry.name for entry in tamper.trash_list(daemon.lab, "dcn1")] == [job["image"]]
    tamper.empty_trash(daemon.lab, "dcn1")
    no_trace(daemon, job["image"])


def test_a_killed_daemon_takes_up_the_imports_it_left(daemon: DaemonProcess, web: str) -> None:
    daemon.start()
    source = ("--disk-format", "raw", "--all-stores", "--name")
    with web_pages(file_of(SIZE).read_bytes()) as breaking_off:
        # A download that ends badly while nobody watches.
        lost, _ = bring(daemon, f"{breaking_off}/hangs", *source, "lost")
        daemon.until_importing(lost["image"])
        daemon.kill()
    daemon.launch()
    dice = random.Random(3)
    jobs = []
    for number in range(3):
        daemon.until(daemon.ready, "the daemon is ready")
        jobs.append(bring(daemon, f"{web}/image", *source, f"n{number}")[0])
        time.sleep(dice.uniform(0, 1.5))
        daemon.kill()
        daemon.launch()
    daemon.until(daemon.ready, "the daemon is ready")
    for job in jobs:
        assert daemon.until_over(job["id"])["state"] == "done"
        daemon.good(job["image"], *SITES, size=SIZE)
        assert daemon.imported(job["image"]) == sorted(SITES)
        assert daemon.kinds(job["image"]).count("copy-done") == len(SITES)
    assert results(daemon.until_over(lost["id"])) == dict.fromkeys(SITES, "failed")
    no_trace(daemon, lost["image"])
    assert "copy-followed" in daemon.kinds(lost["image"])
    named = daemon.admin.get(f"{daemon.lab.glance_url}/v2/images", params={"name": "in:n0,n1,n2,lost"}).json()
    assert {image["id"] for image in named["images"]} == {job["image"] for job in jobs}
