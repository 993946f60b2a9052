"""The unit as it is delivered, under a real systemd: ready, confined, reloaded, started again, watched, stopped."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from deploy.lab.layout import ROOT
from tests.servers.machine import Machine, machine

UNIT = (ROOT / "deploy/edgesync.service").read_text()
DELIVERED = "ExecStart=/opt/edgesync/bin/edgesync run"
HERE = """ExecStart=/opt/edgesync/bin/python -m edgesync run
Environment=PYTHONPATH=/opt/checkout PYTHONDONTWRITEBYTECODE=1"""
# The two minutes of the unit are a long time for a test.
WATCHED, WATCHED_HERE = "WatchdogSec=2min", "WatchdogSec=10s"
PATIENCE = 90.0
# There is no curl on every host.
READ = (
    "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:9780/v1/health', timeout=10).read().decode())"
)
# Nothing listens there: a Glance that is away keeps nobody from being ready.
CLOUD = {
    "auth_url": "http://127.0.0.1:5000/v3",
    "username": "edgesync",
    "password": "secret",
    "project_name": "service",
    "user_domain_name": "Default",
    "project_domain_name": "Default",
}
SETTINGS = {
    "cloud": "overcloud",
    "hub": "central",
    "policies": [{"name": "golden", "match": {"tags": ["golden"]}, "stores": "all"}],
}


class Service:
    """edgesync, as an operator on its host sees it."""

    def __init__(self, host: Machine, config: Path) -> None:
        self.host = host
        self.config = config

    def systemctl(self, *arguments: str) -> None:
        self.host.run("systemctl", *arguments, "edgesync")

    @property
    def shown(self) -> dict[str, str]:
        return self.host.shown("edgesync")

    @property
    def process(self) -> psutil.Process:
        """As this host sees it: the child of the machine's systemd that runs edgesync."""
        (found,) = [
            child
            for child in psutil.Process(self.host.pid).children()
            if child.cmdline()[1:] == ["-m", "edgesync", "run"]
        ]
        return found

    def health(self) -> dict[str, object]:
        told: dict[str, object] = json.loads(self.host.run("python3", "-c", READ))
        return told

    def until(self, holds: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, f"not so: {what}\n{self.shown}\n{self.log()}"
            time.sleep(0.2)

    def log(self) -> str:
        return self.host.run("journalctl", "--unit", "edgesync", "--no-pager", "--output", "cat")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The host's files are those of this host, where Debian's packages are; edgesync is this checkout's."""
    folder = tmp_path_factory.mktemp("systemd")
    config = folder / "edgesync.yaml"
    config.write_text(yaml.safe_dump(SETTINGS))
    clouds = folder / "clouds.yaml"
    clouds.write_text(yaml.safe_dump({"clouds": {"overcloud": {"auth": CLOUD}}}))
    user = folder / "user.conf"
    user.write_text("u edgesync - edgesync /var/lib/edgesync\n")
    unit = folder / "edgesync.service"
    assert DELIVERED in UNIT
    assert WATCHED in UNIT
    unit.write_text(UNIT.replace(DELIVERED, HERE).replace(WATCHED, WATCHED_HERE))
    for readable in (folder, folder.parent):
        readable.chmod(0o755)
    binds = {
        config: "/etc/edgesync/edgesync.yaml",
        clouds: "/etc/openstack/clouds.yaml",
        user: "/usr/lib/sysusers.d/edgesync.conf",
        unit: "/etc/systemd/system/edgesync.service",
        Path(sys.prefix): "/opt/edgesync",
        ROOT / "edgesync": "/opt/checkout/edgesync",
    }
    with machine(binds) as host:
        host.run("systemd-sysusers")
        found = Service(host, config)
        found.systemctl("start")
        yield found


def test_it_is_started_when_it_says_so_and_ready_without_glance(service: Service) -> None:
    shown = service.shown
    assert (shown["ActiveState"], shown["SubState"], shown["Result"]) == ("active", "running", "success")
    assert int(shown["MainPID"]) > 0
    assert service.health()["started_at"]
    service.until(lambda: "Glance" in service.shown["StatusText"], "its status tells what it lacks")


def test_it_is_nobody_and_sees_and_writes_next_to_nothing(service: Service) -> None:
    process = service.process
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert process.uids().real != 0
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    for kind in ("mnt", "user"):
        own, hosts = (Path(f"/proc/{pid}/ns/{kind}").readlink() for pid in (process.pid, service.host.pid))
        assert own != hosts, f"no namespace of its own: {kind}"
    seen = Path(f"/proc/{process.pid}/root")
    assert list((seen / "home").iterdir()) == list((seen / "root").iterdir()) == []
    mounts = {
        fields[1]: fields[3].split(",")[0]
        for line in Path(f"/proc/{process.pid}/mounts").read_text().splitlines()
        if (fields := line.split())
    }
    written = {
        place for place, mode in mounts.items() if mode == "rw" and not place.startswith(("/dev", "/proc", "/sys"))
    }
    assert {"/var/lib/edgesync", "/run/edgesync"} <= written
    assert not {"/", "/etc", "/usr", "/var", "/opt/edgesync"} & written
    kept = service.host.run("ls", "/var/lib/edgesync").split()
    assert {"journal.db", "local-token"} <= set(kept)
    assert service.host.run("stat", "--format=%U %a", "/var/lib/edgesync").split() == ["edgesync", "750"]


def test_reload_takes_another_configuration_or_tells_why_not(service: Service) -> None:
    pid = service.shown["MainPID"]
    service.config.write_text(yaml.safe_dump({**SETTINGS, "policies": "all"}))
    service.systemctl("reload")
    service.until(lambda: "policies" in str(service.health()["config"]), "it was refused")
    service.config.write_text(yaml.safe_dump({**SETTINGS, "policies": []}))
    service.systemctl("reload")
    service.until(lambda: "policies" not in str(service.health()["config"]), "it was taken")
    assert service.shown["MainPID"] == pid
    assert service.shown["ActiveState"] == "active"


def test_killed_it_is_started_again_and_goes_on_with_its_journal(service: Service) -> None:
    before = service.shown
    service.process.kill()
    service.until(lambda: service.shown["NRestarts"] == str(int(before["NRestarts"]) + 1), "it is started again")
    service.until(lambda: service.shown["ActiveState"] == "active", "it is ready again")
    assert service.shown["MainPID"] != before["MainPID"]
    assert service.health()["started_at"]


def test_one_that_hangs_is_ended_by_the_watchdog(service: Service) -> None:
    before = service.shown
    service.process.send_signal(signal.SIGSTOP)
    service.until(lambda: service.shown["NRestarts"] == str(int(before["NRestarts"]) + 1), "it is started again")
    assert "Watchdog timeout" in service.log()
    service.until(lambda: service.shown["ActiveState"] == "active", "it is ready again")


def test_a_configuration_that_is_refused_is_not_tried_again(service: Service) -> None:
    service.systemctl("stop")
    assert (service.shown["ActiveState"], service.shown["Result"]) == ("inactive", "success")
    service.config.write_text("hub: [\n")
    with pytest.raises(RuntimeError):
        service.systemctl("start")
    shown = service.shown
    assert (shown["ActiveState"], shown["ExecMainStatus"]) == ("failed", "2")
    service.config.write_text(yaml.safe_dump(SETTINGS))
    service.systemctl("start")
    assert service.shown["ActiveState"] == "active"
