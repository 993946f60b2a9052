"""The main job, on real Ceph, Keystone and Glance."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from deploy.lab import api, faults, keystone
from deploy.lab.images import random_image
from deploy.lab.layout import Lab
from deploy.lab.readback import readback
from deploy.lab.upload import upload
from edgesync.config import load
from tests.lab.daemon import EDGESYNC, DaemonProcess, daemon_of, show, tasks

MIB = 2**20
EDGES = ("dcn0", "dcn1")


@pytest.fixture
def daemon(lab: Lab, tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon whose policy means only the images of this test."""
    tag = f"t{uuid4().hex[:8]}"
    policies = f"[{{name: golden, match: {{tags: [{tag}], visibility: public}}, stores: all}}]"
    with daemon_of(lab, tmp_path, policies) as prepared:
        prepared.environment["GOLDEN"] = tag
        yield prepared


def put(daemon: DaemonProcess, size: int, *, golden: bool, visibility: str = "public") -> tuple[str, Path]:
    """Upload an image of random bytes; its id and the file."""
    file = random_image(size, seed=size % 97)
    tags = [daemon.environment["GOLDEN"]] if golden else []
    return upload(daemon.lab, file, name=f"img-{uuid4().hex[:6]}", tags=tags, visibility=visibility), file


def events(daemon: DaemonProcess, image: str) -> list[str]:
    return [event["kind"] for event in daemon.get("/v1/history", image=image, limit="1000")["events"]]


def test_a_policy_brings_an_image_from_central_to_both_edges(daemon: DaemonProcess) -> None:
    image, file = put(daemon, 48 * MIB, golden=True)
    private, _ = put(daemon, 8 * MIB, golden=True, visibility="private")
    daemon.start()
    daemon.until_at(image, *EDGES)
    expected = hashlib.sha512(file.read_bytes()).hexdigest()
    shown = show(daemon.lab, image)
    assert shown["os_hash_value"] == expected
    assert sorted(location["metadata"]["store"] for location in shown["locations"]) == ["central", *EDGES]
    for site in ("central", *EDGES):
        copy = readback(daemon.lab, site, image)
        assert (copy.size, copy.sha512, copy.bootable) == (48 * MIB, expected, True)
    assert show(daemon.lab, private)["stores"] == "central"
    assert len(tasks(daemon.lab, image)) == 1
    matrix = daemon.command("status").stdout
    assert matrix.count("✓ present") == 3
    stores = {row["id"]: row for row in daemon.json("stores")}
    assert stores["central"]["role"] == "hub"
    assert stores["dcn0"]["copies"]["present"] >= 1
    metrics = requests.get(f"{daemon.url}/metrics", timeout=10).text
    assert 'edgesync_copy_results_total{engine="copy-image",result="copied",store="dcn1"} 1.0' in metrics
    assert "edgesync_glance_up 1.0" in metrics


def test_copy_keeps_to_the_rules_of_the_guide(daemon: DaemonProcess) -> None:
    image, _ = put(daemon, 4 * MIB, golden=False)
    daemon.start()
    first = daemon.command("copy", image, "--stores", "dcn0", "--wait")
    assert first.returncode == 0, first.stderr
    refused = daemon.command("copy", image, "--stores", "dcn0,dcn1")
    assert refused.returncode == 1
    assert "already in dcn0; nothing was copied" in refused.stderr
    assert show(daemon.lab, image)["stores"] == "central,dcn0"
    rest = daemon.command("copy", image, "--all-stores", "--wait", "-f", "json")
    assert rest.returncode == 0, rest.stderr
    assert [entry["store"] for entry in json.loads(rest.stdout)["stores"]] == ["dcn1"]
    again = daemon.command("copy", image, "--all-stores", "--wait")
    assert again.returncode == 0
    assert len(tasks(daemon.lab, image)) == 2


def test_twenty_requests_at_once_from_several_clients(daemon: DaemonProcess) -> None:
    image, _ = put(daemon, 32 * MIB, golden=False)
    daemon.start()
    bodies: list[dict[str, Any]] = [
        {"stores": ["dcn0"]},
        {"stores": ["dcn1"]},
        {"stores": list(EDGES)},
        {"all_stores": True},
    ]

    def ask(number: int) -> requests.Response:
        body = {"image": image, "requested_by": f"client-{number}", **bodies[number % 4]}
        return requests.post(f"{daemon.url}/v1/jobs", json=body, timeout=30)

    began = time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(20)))
    assert [answer.status_code for answer in answers] == [202] * 20
    assert time.monotonic() - began < 10, "they were not at once"
    ids = [answer.json()["id"] for answer in answers]
    daemon.until(lambda: all(daemon.get(f"/v1/jobs/{job}")["state"] in {"done", "failed"} for job in ids), "all end")
    assert {daemon.get(f"/v1/jobs/{job}")["state"] for job in ids} == {"done"}
    imported = [store for task in tasks(daemon.lab, image) for store in task["input"]["backend"]]
    assert sorted(imported) == list(EDGES)
    assert "copy-failed" not in events(daemon, image)


def test_a_killed_daemon_takes_up_the_import_it_left(daemon: DaemonProcess) -> None:
    image, _ = put(daemon, 512 * MIB, golden=True)
    daemon.start()
    daemon.until(lambda: "os_glance_importing_to_stores" in show(daemon.lab, image), "the import is under way")
    daemon.kill()
    assert show(daemon.lab, image).get("os_glance_import_task"), "the copy was over before the kill"
    daemon.start()
    daemon.until_at(image, *EDGES)
    daemon.until(lambda: "copy-done" in events(daemon, image), "the outcome is recorded")
    assert len(tasks(daemon.lab, image)) == 1
    assert events(daemon, image).count("copy-followed") == 1
    assert events(daemon, image).count("copy-started") == 1
    (job,) = daemon.get("/v1/jobs", image=image)["jobs"]
    assert job["state"] == "done"


def test_tokens_that_expire_in_mid_copy_are_not_noticed(daemon: DaemonProcess, breakable: Lab) -> None:
    image, _ = put(daemon, 64 * MIB, golden=False)
    daemon.start()
    # The copy lasts as long as the edge keeps silent.
    faults.break_site(breakable, "dcn1", faults.How.PAUSE_OSD)
    job = daemon.json("copy", image, "--stores", "dcn1")["id"]
    daemon.until(lambda: "os_glance_importing_to_stores" in show(daemon.lab, image), "the import is under way")
    keystone.expire_tokens(daemon.lab)
    daemon.until(lambda: 'status="401"' in requests.get(f"{daemon.url}/metrics", timeout=10).text, "a token is refused")
    faults.heal_site(breakable, "dcn1", faults.How.PAUSE_OSD)
    daemon.until(lambda: daemon.get(f"/v1/jobs/{job}")["state"] in {"done", "failed"}, "the job ends")
    assert daemon.get(f"/v1/jobs/{job}")["state"] == "done"
    assert daemon.get("/v1/health")["trouble"] == ""
    assert daemon.get("/v1/history", failed="true")["events"] == []
    assert len(tasks(daemon.lab, image)) == 1


def test_a_rival_with_the_glance_client_is_waited_for(daemon: DaemonProcess) -> None:
    image, _ = put(daemon, 256 * MIB, golden=True)
    with api.login(daemon.lab) as session:
        session.post(
            f"{daemon.lab.glance_url}/v2/images/{image}/import",
            json={"method": {"name": "copy-image"}, "stores": ["dcn1"], "all_stores_must_succeed": False},
        )
    daemon.start()
    daemon.until_at(image, *EDGES)
    backends = [task["input"]["backend"] for task in tasks(daemon.lab, image)]
    assert sorted(backends) == [["dcn0"], ["dcn1"]]
    assert "copy-failed" not in events(daemon, image)


def test_once_makes_what_is_wanted_and_ends(daemon: DaemonProcess) -> None:
    image, _ = put(daemon, 16 * MIB, golden=True)
    planned = daemon.json("plan")
    assert [(row["action"], row["image"], row["stores"]) for row in planned] == [("copy", image, list(EDGES))]
    assert planned[0]["bytes"] == 2 * 16 * MIB
    done = daemon.command("once")
    assert done.returncode == 0, done.stderr
    assert "3 of 3 wanted copies are there" in done.stdout
    assert sorted(show(daemon.lab, image)["stores"].split(",")) == ["central", *EDGES]
    assert daemon.json("plan") == []
    assert daemon.command("once").returncode == 0


def interrupted(daemon: DaemonProcess, image: str, *arguments: str) -> tuple[int, str]:
    """Press Ctrl-C in a command once Glance copies the image; its exit code and what it said."""
    command = [str(EDGESYNC), "--config", str(daemon.config), *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        daemon.until(lambda: "os_glance_importing_to_stores" in show(daemon.lab, image), "the import is under way")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    return process.returncode, said


def test_ctrl_c_in_copy_leaves_the_job_to_the_daemon(daemon: DaemonProcess) -> None:
    image, _ = put(daemon, 256 * MIB, golden=False)
    daemon.start()
    code, said = interrupted(daemon, image, "copy", image, "--all-stores", "--wait")
    assert code == 130
    assert "goes on in the daemon" in said
    assert "Traceback" not in said
    daemon.until_at(image, *EDGES)
    assert len(tasks(daemon.lab, image)) == 1


def test_ctrl_c_in_once_leaves_the_import_to_the_next_run(daemon: DaemonProcess) -> None:
    image, _ = put(daemon, 256 * MIB, golden=True)
    code, said = interrupted(daemon, image, "once")
    assert code == 130
    assert "1 import goes on in Glance" in said
    assert "Traceback" not in said
    assert daemon.command("once").returncode == 0
    assert sorted(show(daemon.lab, image)["stores"].split(",")) == ["central", *EDGES]
    assert len(tasks(daemon.lab, image)) == 1


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
