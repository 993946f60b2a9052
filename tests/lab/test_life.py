"""The daemon's own life: changed configurations, a stop in mid-copy, images that vanish under it, and its history."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from deploy.lab import faults, tamper
from deploy.lab.faults import How
from deploy.lab.layout import ROOT
from deploy.lab.readback import rbd_images
from tests.lab.daemon import EDGES, EDGESYNC, MIB, SITES, DaemonProcess

SMALL, LARGE = 16 * MIB, 64 * MIB


def hold(daemon: DaemonProcess, image: str, store: str) -> None:
    """Wait until Glance writes the image there, and make that last."""
    daemon.until(lambda: image in rbd_images(daemon.lab, store), f"{store} is being written")
    faults.break_site(daemon.lab, store, How.PAUSE_OSD)
    assert store not in daemon.stores_of(image), "the copy was over before"


def logged(daemon: DaemonProcess, event: str) -> list[Any]:
    lines = [json.loads(line) for line in daemon.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"].startswith(event)]


def reload_fails(daemon: DaemonProcess) -> float:
    text = requests.get(f"{daemon.url}/metrics", timeout=10).text
    (line,) = [line for line in text.splitlines() if line.startswith("edgesync_config_last_reload_successful ")]
    return 1 - float(line.split()[1])


def test_a_changed_configuration_is_taken_whole_or_not_at_all(daemon: DaemonProcess) -> None:
    (golden,) = daemon.setting("policies")
    daemon.configure(policies=[{**golden, "stores": ["dcn0"]}])
    daemon.start()
    good = daemon.config.read_text()
    wanted_everywhere = good.replace("stores:\n  - dcn0", "stores: all")
    mistakes = {
        # What is right in the same file does not count either.
        wanted_everywhere + "limits: {imports: many}\n": "limits.imports: expected",
        wanted_everywhere.replace("policies:", "policies: ["): "not valid YAML",
        wanted_everywhere.replace("hub: central", "hub: dcn0"): "3:1: hub: can't change while edgesync runs",
    }
    for number, (text, why) in enumerate(mistakes.items(), start=1):
        assert text != wanted_everywhere
        daemon.config.write_text(text)
        daemon.hang_up()
        daemon.until(lambda why=why: why in daemon.get("/v1/health")["config"]["error"], why)  # type: ignore[misc]
        assert daemon.get("/v1/health")["config"]["error"].startswith(f"{daemon.config}:")
        shown = status(daemon)
        assert f"the new configuration was refused; what was read at {datetime.now(UTC):%Y-}" in shown
        assert why in shown
        refused = logged(daemon, "configuration refused, the old one goes on")
        assert len(refused) == number
        assert why in refused[-1]["problem"]
        assert reload_fails(daemon)
    assert "restart: systemctl restart edgesync" in shown
    image = daemon.put(SMALL)
    daemon.until_at(image, "dcn0")
    assert daemon.copies(image)["dcn1"]["state"] == "absent"
    daemon.config.write_text(wanted_everywhere)
    daemon.hang_up()
    daemon.until_at(image, *EDGES)
    assert daemon.get("/v1/health")["config"]["error"] == ""
    assert "refused" not in status(daemon)
    assert not reload_fails(daemon)
    told = [event["kind"] for event in daemon.events("", "config-refused", "config-reloaded")]
    assert told == ["config-refused"] * len(mistakes) + ["config-reloaded"]
    assert daemon.imported(image) == list(EDGES)


def status(daemon: DaemonProcess) -> str:
    # A file that is no YAML does not tell where the daemon listens.
    return daemon.command("--api", daemon.url, "status").stdout


def test_a_stop_hands_copies_over_and_breaks_files_off(daemon: DaemonProcess, tmp_path: Path) -> None:
    image = daemon.put(LARGE, golden=False)
    daemon.start()
    copying = daemon.ask(image, *EDGES)
    hold(daemon, image, "dcn0")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    options = ("--file", str(pipe), "--name", "n", "--disk-format", "raw")
    command = [*EDGESYNC, "--config", str(daemon.config), "import", *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT) as client:
        # A part of the file is sent, and then nothing more comes.
        with pipe.open("wb", buffering=0) as data:
            data.write(bytes(MIB))
            daemon.until(lambda: len(daemon.get("/v1/jobs")["jobs"]) == 2, "the import is taken")
            (sending,) = [job for job in daemon.get("/v1/jobs")["jobs"] if job["id"] != copying]
            daemon.images.append(sending["image"])
            daemon.until(lambda: daemon.status_of(sending["image"]) == "uploading", "Glance gets the data")
            assert daemon.stop() == 0
        _, said = client.communicate(timeout=60)
    assert client.returncode == 1
    assert "broke off taking the data" in said
    assert "send the file again" in said
    (stopped,) = logged(daemon, "stopped")
    assert "1 import goes on in Glance, to be followed at the next start" in stopped["event"]
    assert "1 file that was coming in is to be sent again" in stopped["event"]
    assert daemon.show(image)["os_glance_import_task"], "the copy was over before the stop"
    faults.heal_site(daemon.lab, "dcn0")
    daemon.start()
    assert daemon.until_over(copying)["state"] == "done"
    daemon.good(image, *SITES, size=LARGE)
    assert daemon.imported(image) == list(EDGES)
    assert daemon.kinds(image).count("copy-followed") == 1
    (lost,) = daemon.until_over(sending["id"])["stores"]
    assert lost["result"] == "failed"
    assert "edgesync was stopped before the file had arrived whole; send it again" in lost["reason"]
    forgotten(daemon, sending["image"])
    assert list((daemon.lab.folder / "glance/staging").iterdir()) == []
    (told,) = daemon.events("", "daemon-stopped")
    assert told["message"] == stopped["event"]


def test_an_image_replaced_in_mid_copy_gives_way_to_the_new_one(daemon: DaemonProcess) -> None:
    old = daemon.put(LARGE)
    daemon.start()
    hold(daemon, old, "dcn0")
    name = daemon.show(old)["name"]
    daemon.admin.delete(f"{daemon.lab.glance_url}/v2/images/{old}")
    new = daemon.put(SMALL)
    patch = [{"op": "replace", "path": "/name", "value": name}]
    headers = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    daemon.admin.patch(f"{daemon.lab.glance_url}/v2/images/{new}", json=patch, headers=headers)
    faults.heal_site(daemon.lab, "dcn0")
    daemon.until_at(new, *EDGES)
    daemon.good(new, *SITES, size=SMALL)
    # Glance leaves at dcn0 what it was writing.
    assert "moved into RBD's trash" in daemon.until_told(old, "orphan-trashed")
    forgotten(daemon, old)
    assert "the image was deleted in the middle of its copy" in daemon.until_told(old, "copy-failed")
    assert daemon.imported(new) == list(EDGES)
    assert daemon.events(new, failed="true") == []
    shown = daemon.command("status", name)
    assert shown.returncode == 0, shown.stderr
    assert new in shown.stdout


def forgotten(daemon: DaemonProcess, image: str) -> None:
    """No site has anything of a deleted image, status has nothing to say about it, and nothing goes on."""
    assert daemon.status_of(image) == ""
    for site in SITES:
        assert image not in rbd_images(daemon.lab, site)
        assert daemon.store(site)["findings"] == {}
    daemon.until(lambda: image not in daemon.command("status", "--all").stdout, "status has forgotten it")
    assert {job["state"] for job in daemon.get("/v1/jobs", image=image)["jobs"]} <= {"done", "failed"}


def test_an_image_deactivated_in_mid_copy_waits_for_its_return(daemon: DaemonProcess) -> None:
    image = daemon.put(LARGE, golden=False)
    actions = f"{daemon.lab.glance_url}/v2/images/{image}/actions"
    daemon.start()
    job = daemon.ask(image, *EDGES)
    hold(daemon, image, "dcn0")
    daemon.admin.post(f"{actions}/deactivate")
    faults.heal_site(daemon.lab, "dcn0")
    for edge in EDGES:
        daemon.until_state(image, edge, "waiting", "not-active: the image is deactivated")
    # Glance leaves at dcn0 what it was writing: it does not lie there for as long as the image is withdrawn.
    daemon.until_told(image, "orphan-trashed")
    assert image not in rbd_images(daemon.lab, "dcn0")
    assert daemon.imported(image) == ["dcn0"]
    assert daemon.command("status").stdout.startswith("2 copies waiting\n")
    daemon.admin.post(f"{actions}/reactivate")
    assert daemon.until_over(job)["state"] == "done"
    daemon.good(image, *SITES, size=LARGE)
    assert "copy-failed" not in daemon.kinds(image)
    assert [entry.name for entry in tamper.trash_list(daemon.lab, "dcn0")] == [image]


def test_history_answers_what_happened_where_and_when(daemon: DaemonProcess) -> None:
    image = daemon.put(SMALL)
    daemon.start()
    daemon.until_at(image, *EDGES)
    daemon.until(lambda: daemon.kinds(image).count("copy-done") == 2, "both copies are told")
    copied = datetime.now(UTC).isoformat()
    faults.break_site(daemon.lab, "dcn1", How.KILL_OSD)
    daemon.until(lambda: daemon.kinds().count("store-down") == 1, "dcn1 is told to be down")

    def told(*arguments: str) -> set[tuple[str, str | None]]:
        return {(event["kind"], event["store"]) for event in daemon.json("history", *arguments)}

    of_image = {("copy-started", None), ("copy-done", "dcn0"), ("copy-done", "dcn1"), ("job-ended", None)}
    assert told(image) == of_image
    assert told(daemon.show(image)["name"]) == of_image
    assert told(image, "--store", "dcn0") == {("copy-done", "dcn0")}
    assert told("--store", "dcn1") == {("copy-done", "dcn1"), ("store-down", "dcn1")}
    assert told("--since", copied) == {("store-down", "dcn1")}
    assert told("--since", "1h") > {*of_image, ("store-down", "dcn1")}
    assert told("--failed") == {("store-down", "dcn1")}
    assert told(image, "--failed") == set()
    times = [event["at"] for event in daemon.json("history")]
    assert times == sorted(times, reverse=True)
    faults.heal_site(daemon.lab, "dcn1")
    daemon.admin.delete(f"{daemon.lab.glance_url}/v2/images/{image}")
    daemon.until(lambda: image not in daemon.command("status", "--all").stdout, "the image is gone")
    assert told(image) >= of_image, "history outlives the image"
    wrong = daemon.command("history", "--since", "yesterday")
    assert wrong.returncode == 2
    assert "expected a time like 2026-01-31T12:00 or an age like 12h" in wrong.stderr
