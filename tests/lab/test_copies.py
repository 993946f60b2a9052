"""The main job, on real Ceph, Keystone and Glance."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

from deploy.lab import faults, keystone
from deploy.lab.layout import ROOT, Lab
from edgesync.config import load
from tests.lab.daemon import EDGES, EDGESYNC, MIB, SITES, DaemonProcess, daemon_of


def test_a_policy_brings_an_image_from_central_to_both_edges(daemon: DaemonProcess) -> None:
    image = daemon.put(48 * MIB)
    private = daemon.put(8 * MIB, visibility="private")
    daemon.start()
    daemon.until_at(image, *EDGES)
    daemon.good(image, *SITES, size=48 * MIB)
    locations = daemon.show(image)["locations"]
    assert sorted(location["metadata"]["store"] for location in locations) == ["central", *EDGES]
    assert daemon.stores_of(private) == ["central"]
    assert daemon.imported(image) == list(EDGES)
    matrix = daemon.command("status").stdout
    assert matrix.count("✓ present") == 3
    stores = {row["id"]: row for row in daemon.json("stores")}
    assert stores["central"]["role"] == "hub"
    assert stores["dcn0"]["copies"]["present"] >= 1
    metrics = requests.get(f"{daemon.url}/metrics", timeout=10).text
    assert 'edgesync_copy_results_total{engine="copy-image",result="copied",store="dcn1"} 1.0' in metrics
    assert "edgesync_glance_up 1.0" in metrics


def test_copy_keeps_to_the_rules_of_the_guide(daemon: DaemonProcess) -> None:
    image = daemon.put(4 * MIB, golden=False)
    daemon.start()
    first = daemon.command("copy", image, "--stores", "dcn0", "--wait")
    assert first.returncode == 0, first.stderr
    refused = daemon.command("copy", image, "--stores", "dcn0,dcn1")
    assert refused.returncode == 1
    assert "already in dcn0; nothing was copied" in refused.stderr
    assert daemon.stores_of(image) == ["central", "dcn0"]
    rest = daemon.command("copy", image, "--all-stores", "--wait", "-f", "json")
    assert rest.returncode == 0, rest.stderr
    assert [entry["store"] for entry in json.loads(rest.stdout)["stores"]] == ["dcn1"]
    again = daemon.command("copy", image, "--all-stores", "--wait")
    assert again.returncode == 0
    assert daemon.imported(image) == list(EDGES)


def test_twenty_requests_at_once_from_several_clients(daemon: DaemonProcess) -> None:
    image = daemon.put(32 * MIB, golden=False)
    daemon.start()
    bodies: list[dict[str, Any]] = [
        {"stores": ["dcn0"]},
        {"stores": ["dcn1"]},
        {"stores": list(EDGES)},
        {"all_stores": True},
    ]

    def ask(number: int) -> requests.Response:
        body = {"image": image, "requested_by": f"client-{number}", **bodies[number % 4]}
        return requests.post(f"{daemon.url}/v1/jobs", json=body, headers=daemon.credential, timeout=30)

    began = time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(20)))
    assert [answer.status_code for answer in answers] == [202] * 20
    assert time.monotonic() - began < 10, "they were not at once"
    ids = [answer.json()["id"] for answer in answers]
    daemon.until(lambda: all(daemon.get(f"/v1/jobs/{job}")["state"] in {"done", "failed"} for job in ids), "all end")
    assert {daemon.get(f"/v1/jobs/{job}")["state"] for job in ids} == {"done"}
    assert daemon.imported(image) == list(EDGES)
    assert "copy-failed" not in daemon.kinds(image)


def test_a_killed_daemon_takes_up_the_import_it_left(daemon: DaemonProcess) -> None:
    image = daemon.put(32 * MIB)
    daemon.start()
    hold(daemon, image)
    daemon.kill()
    assert daemon.show(image).get("os_glance_import_task"), "the copy was over before the kill"
    daemon.start()
    daemon.until_told(image, "copy-followed")
    release(daemon)
    daemon.until_at(image, *EDGES)
    daemon.until(lambda: daemon.kinds(image).count("copy-done") == 2, "both outcomes are recorded")
    assert daemon.imported(image) == list(EDGES)
    assert daemon.kinds(image).count("copy-followed") == 1
    assert daemon.kinds(image).count("copy-started") == 2
    jobs = daemon.get("/v1/jobs", image=image)["jobs"]
    assert [job["state"] for job in jobs] == ["done", "done"]


def test_tokens_that_expire_in_mid_copy_are_not_noticed(daemon: DaemonProcess) -> None:
    image = daemon.put(32 * MIB, golden=False)
    daemon.start()
    job = daemon.ask(image, "dcn1")
    hold(daemon, image)
    keystone.expire_tokens(daemon.lab)
    daemon.until(lambda: 'status="401"' in requests.get(f"{daemon.url}/metrics", timeout=10).text, "a token is refused")
    release(daemon)
    assert daemon.until_over(job)["state"] == "done"
    assert daemon.get("/v1/health")["trouble"] == ""
    assert daemon.events(image, failed="true") == []
    assert daemon.imported(image) == ["dcn1"]


def test_a_rival_with_the_glance_client_is_waited_for(daemon: DaemonProcess) -> None:
    image = daemon.put(256 * MIB)
    daemon.admin.post(
        f"{daemon.lab.glance_url}/v2/images/{image}/import",
        json={"method": {"name": "copy-image"}, "stores": ["dcn1"], "all_stores_must_succeed": False},
    )
    daemon.start()
    daemon.until_at(image, *EDGES)
    assert daemon.imported(image) == list(EDGES)
    assert "copy-failed" not in daemon.kinds(image)


def test_once_makes_what_is_wanted_and_ends(daemon: DaemonProcess) -> None:
    image = daemon.put(16 * MIB)
    planned = daemon.json("plan")
    assert [(row["action"], row["image"], row["stores"]) for row in planned] == [
        ("copy", image, ["dcn0"]),
        ("wait", image, ["dcn1"]),
    ]
    assert planned[0]["bytes"] == 16 * MIB
    done = daemon.command("once")
    assert done.returncode == 0, done.stderr
    assert "3 of 3 wanted copies are there" in done.stdout
    assert daemon.stores_of(image) == ["central", *EDGES]
    assert daemon.json("plan") == []
    assert daemon.command("once").returncode == 0


def test_ctrl_c_in_copy_leaves_the_job_to_the_daemon(daemon: DaemonProcess) -> None:
    image = daemon.put(32 * MIB, golden=False)
    daemon.start()
    code, said = interrupted(daemon, image, "copy", image, "--all-stores", "--wait")
    assert code == 130
    assert "goes on in the daemon" in said
    assert "Traceback" not in said
    daemon.until_at(image, *EDGES)
    assert daemon.imported(image) == list(EDGES)


def test_ctrl_c_in_once_leaves_the_import_to_the_next_run(daemon: DaemonProcess) -> None:
    image = daemon.put(32 * MIB)
    code, said = interrupted(daemon, image, "once")
    assert code == 130
    assert "1 import goes on in Glance" in said
    assert "Traceback" not in said
    assert daemon.command("once").returncode == 0
    assert daemon.stores_of(image) == ["central", *EDGES]
    assert daemon.imported(image) == list(EDGES)


def interrupted(daemon: DaemonProcess, image: str, *arguments: str) -> tuple[int, str]:
    """Press Ctrl-C in a command while Glance copies the image; its exit code and what it said."""
    command = [*EDGESYNC, "--config", str(daemon.config), *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        hold(daemon, image)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    release(daemon)
    return process.returncode, said


def hold(daemon: DaemonProcess, image: str) -> None:
    """Wait until the image is being copied, and make that last: no edge answers any more."""
    daemon.until_importing(image)
    for site in EDGES:
        faults.break_site(daemon.lab, site, faults.How.PAUSE_OSD)


def release(daemon: DaemonProcess) -> None:
    for site in EDGES:
        faults.heal_site(daemon.lab, site, faults.How.PAUSE_OSD)


def test_an_application_credential_works_as_a_password_does(lab: Lab, tmp_path: Path) -> None:
    with daemon_of(lab, tmp_path) as daemon:
        daemon.config.write_text(daemon.config.read_text().replace("cloud: edgesync", "cloud: edgesync-appcred"))
        daemon.start()
        assert {row["id"] for row in daemon.json("stores")} >= {"central", *EDGES}


def test_two_daemons_on_one_journal_are_refused(daemon: DaemonProcess) -> None:
    daemon.start()
    second = daemon.command("once")
    assert second.returncode == 1
    assert "journal" in second.stderr
    assert daemon.command("plan").returncode == 0, "looking is always allowed"


def test_a_hub_that_is_no_store_is_refused_at_the_start(daemon: DaemonProcess) -> None:
    daemon.config.write_text(daemon.config.read_text().replace("hub: central", "hub: centrl"))
    done = daemon.command("run", timeout=60)
    assert done.returncode == 2, done.stderr
    assert f"{daemon.config}:3:1: hub: expected a store of this Glance (central, dcn0, dcn1)" in done.stderr
    assert "-> set hub" in done.stderr


def test_the_labs_own_configuration_is_good(lab: Lab) -> None:
    settings = load(lab.edgesync_file, {})
    assert (settings.hub, settings.cloud, settings.api.port) == ("central", "edgesync", lab.api_port)
