"""What lies in `deploy/` fits the daemon that it deploys."""

from __future__ import annotations

import configparser
import os
import re
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgesync import __version__
from edgesync.cli.main import cli
from edgesync.config import load
from edgesync.daemon.systemd import LOOK
from edgesync.domain.job import EventKind, HistoryFilter
from edgesync.domain.store import StoreId
from edgesync.expose.access import PROBES
from edgesync.journal import open_journal
from tests.contract.journal.samples import make_event

DEPLOY = Path("deploy")
GUIDE = (DEPLOY / "README.md").read_text()
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()
EXAMPLES = sorted((DEPLOY / "examples").glob("*.yaml"))
PORT = load(EXAMPLES[0], {}).api.port
STATE = "/var/lib/edgesync"


def manifests() -> dict[str, Any]:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes" / "edgesync.yaml").read_text())
    return {document["kind"]: document for document in documents}


def pod() -> Any:
    return manifests()["Deployment"]["spec"]["template"]["spec"]


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((DEPLOY / "edgesync.service").read_text())
    return parser["Service"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_loads_and_says_when_a_copy_is_late(example: Path) -> None:
    settings = load(example, {})
    assert settings.hub in settings.stores
    assert all(policy.lag_objective for policy in settings.policies)


def test_the_examples_are_of_the_size_that_they_say() -> None:
    hundred = load(DEPLOY / "examples" / "hundred-sites.yaml", {})
    assert len(hundred.stores) == 101
    edge = load(DEPLOY / "examples" / "edge-side.yaml", {})
    assert {store for policy in edge.policies for store in policy.stores or ()} == {StoreId("dcn0")}


def test_the_configuration_in_kubernetes_loads_and_its_files_are_mounted(tmp_path: Path) -> None:
    file = tmp_path / "edgesync.yaml"
    file.write_text(manifests()["ConfigMap"]["data"]["edgesync.yaml"])
    settings = load(file, {})
    (container,) = pod()["containers"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    needed = [str(settings.clouds_file), *(entry.ceph.conf for entry in settings.stores.values() if entry.ceph)]
    assert {str(Path(path).parent) for path in needed} <= set(mounts)
    assert {STATE, "/etc/edgesync"} <= set(mounts)
    assert set(mounts.values()) == {volume["name"] for volume in pod()["volumes"]}
    assert STATE in settings.journal.url


def test_kubernetes_asks_for_what_the_daemon_serves() -> None:
    (container,) = pod()["containers"]
    assert [port["containerPort"] for port in container["ports"]] == [PORT]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        command, path = container[probe]["exec"]["command"]
        assert path in PROBES
        assert f"/usr/local/bin/{command}" in CONTAINERFILE
    assert container["args"][0] in cli.all()
    assert container["image"] == f"edgesync:{__version__}"


def test_kubernetes_runs_one_confined_daemon_at_a_time() -> None:
    spec = manifests()["Deployment"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    (container,) = pod()["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert f"--uid {pod()['securityContext']['runAsUser']} " in CONTAINERFILE


def test_the_container_is_built_of_files_that_exist() -> None:
    for sources in re.findall(r"^COPY (?:--chmod=\d+ )?((?!--from)\S.*) \S+$", CONTAINERFILE, re.MULTILINE):
        assert all(Path(source).exists() for source in sources.split())
    assert os.access(DEPLOY / "edgesync-probe", os.X_OK)
    assert f"EXPOSE {PORT}\n" in CONTAINERFILE


def test_the_probe_says_that_nobody_answers() -> None:
    asked = subprocess.run(
        [DEPLOY / "edgesync-probe", "/livez", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert asked.returncode == 1
    assert "does not answer" in asked.stderr


def test_the_probe_says_how_it_is_used() -> None:
    asked = subprocess.run([DEPLOY / "edgesync-probe"], capture_output=True, text=True, check=False, timeout=30)
    assert asked.returncode == 1
    assert "Usage: edgesync-probe PATH" in asked.stderr


def test_the_playbook_runs_what_the_container_offers() -> None:
    (play,) = yaml.safe_load((DEPLOY / "kolla" / "edgesync.yaml").read_text())
    (run,) = [task for task in play["tasks"] if "containers.podman.podman_container" in task]
    container = run["containers.podman.podman_container"]
    assert container["command"][0] in cli.all()
    assert container["healthcheck"].split()[1] in PROBES
    assert play["vars"]["edgesync_image"] == f"edgesync:{__version__}"
    assert f"--uid {play['vars']['edgesync_id']} " in CONTAINERFILE
    handlers = {handler["name"] for handler in play["handlers"]}
    assert {task["notify"] for task in play["tasks"] if "notify" in task} <= handlers


def test_the_unit_fits_the_daemon() -> None:
    service = unit()
    assert service["Type"] == "notify"
    assert service["ExecStart"].split()[1] in cli.all()
    assert service["StateDirectory"] == Path(STATE).name
    # Minutes, of which a look at the daemon takes a small part.
    assert int(service["WatchdogSec"].removesuffix("min")) * 60 > 3 * LOOK
    # Exit code 2: the configuration is refused.
    assert service["RestartPreventExitStatus"] == "2"


def test_every_file_of_the_guide_exists_and_every_command_too() -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", GUIDE):
        folder = DEPLOY / "examples" if target in {path.name for path in EXAMPLES} else DEPLOY
        assert (folder / target).exists(), target
    assert set(re.findall(r"`edgesync ([a-z]+)", GUIDE)) <= set(cli.all())


def test_the_guide_grants_what_the_lab_tries() -> None:
    caps = re.findall(r"(?:mon|mgr|osd) '[^']+'", GUIDE)
    lab = (DEPLOY / "lab" / "README.md").read_text().split("get-or-create client.edgesync")[1].split("```")[0]
    assert caps == re.findall(r"(?:mon|mgr|osd) '[^']+'", lab)


async def test_a_backup_is_made_beside_the_daemon_and_restored(tmp_path: Path) -> None:
    (statement,) = re.findall(r"(VACUUM INTO) '", GUIDE)
    url = f"sqlite+aiosqlite:///{tmp_path}/journal.db"
    journal = await open_journal(url)
    try:
        await journal.claim()
        await journal.add_events([make_event()])
        with sqlite3.connect(tmp_path / "journal.db") as shell:
            shell.execute(f"{statement} '{tmp_path}/backup.db'")
        shell.close()
        await journal.add_events([make_event(kind=EventKind.DAEMON_STOPPED)])
    finally:
        await journal.close()
    restored = await open_journal(url.replace("journal.db", "backup.db"))
    try:
        await restored.claim()
        assert [event.kind for event in await restored.history(HistoryFilter())] == [make_event().kind]
    finally:
        await restored.close()
