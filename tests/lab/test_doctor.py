"""`edgesync doctor` on a real cloud: silent when all is well, and whatever is broken is found in one run."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from keystoneauth1.session import Session

from deploy.lab import api, ceph, faults, glance, render, tamper, tasks
from deploy.lab.faults import How
from deploy.lab.images import random_image
from deploy.lab.layout import Lab
from deploy.lab.upload import upload
from tests.lab.conftest import clear, mend
from tests.lab.daemon import DaemonProcess, daemon_of

MIB = 2**20
GOLDEN = "doctored"
POLICIES = [{"name": "golden", "match": {"tags": [GOLDEN]}, "stores": "all"}]
# Seconds: the dead site costs its deadline once, and the audits look twice.
BOUND = 60


@pytest.fixture
def cleared(breakable: Lab) -> Iterator[Lab]:
    """No image in Glance nor in any pool, whatever other tests have left; and none afterwards."""
    clear(breakable)
    yield breakable
    mend(breakable)
    clear(breakable)


def show(lab: Lab, image: str) -> dict[str, Any]:
    with api.login(lab) as session:
        shown: dict[str, Any] = session.get(f"{lab.glance_url}/v2/images/{image}").json()
    return shown


Ceph = dict[str, str]


@contextmanager
def _configured(lab: Lab, folder: Path, **instead: Ceph) -> Iterator[DaemonProcess]:
    """With every site's `ceph:`; `dcn1=...` is instead of dcn1's own."""
    folder.mkdir(exist_ok=True)
    stores = {site.name: {"ceph": instead.get(site.name) or render.ceph_settings(site)} for site in lab.sites}
    with daemon_of(lab, folder) as daemon:
        daemon.configure(
            stores=stores,
            policies=POLICIES,
            glance={"staging": f"{lab.folder}/glance/staging"},
            probes={"deadline": "3s"},
            # As it comes: what was made a moment ago is too young to be sure of.
            audit={},
        )
        yield daemon


def _doctor(daemon: DaemonProcess) -> tuple[int, list[dict[str, Any]]]:
    """Its exit code, and what it found."""
    done = daemon.command("doctor", "-f", "json", timeout=BOUND)
    assert done.stderr == "", "what it has to say is in its findings"
    return done.returncode, json.loads(done.stdout)


def _bad(found: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {(entry["check"], entry["subject"]): entry for entry in found if entry["grade"] != "ok"}


def _upload_qcow2(lab: Lab, file: Path) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(file), "16M"], check=True, timeout=30)
    record = {"name": "appliance", "disk_format": "qcow2", "container_format": "bare"}
    with api.login(lab) as session:
        image = session.post(f"{lab.glance_url}/v2/images", json=record).json()["id"]
        headers = {"Content-Type": "application/octet-stream"}
        session.put(f"{lab.glance_url}/v2/images/{image}/file", data=file.read_bytes(), headers=headers)


def _copy(session: Session, lab: Lab, image: str, *stores: str) -> None:
    body = {"method": {"name": "copy-image"}, "stores": list(stores), "all_stores_must_succeed": False}
    session.post(f"{lab.glance_url}/v2/images/{image}/import", json=body)


def _until(holds: Any, what: str) -> None:
    deadline = time.monotonic() + BOUND
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def _golden(lab: Lab, name: str, *, at: Sequence[str] = ()) -> str:
    """An image that the policy wants, copied there already."""
    image = upload(lab, random_image(12 * MIB, seed=7), name=name, tags=[GOLDEN])
    if at:
        with api.login(lab) as session:
            _copy(session, lab, image, *at)
        _until(lambda: set(show(lab, image)["stores"].split(",")) >= set(at), f"{name} at {at}")
        _until(lambda: "os_glance_import_task" not in show(lab, image), f"{name} is at rest")
    return image


def test_a_healthy_cloud_gets_a_clean_bill_and_a_qcow2_image_a_warning(cleared: Lab, tmp_path: Path) -> None:
    _golden(cleared, "rhel", at=["dcn0", "dcn1"])
    with _configured(cleared, tmp_path) as daemon:
        daemon.start()
        code, found = _doctor(daemon)
        assert (code, _bad(found)) == (0, {})
        looked_at = {(entry["check"], entry["subject"]) for entry in found}
        assert {(check, site.name) for site in cleared.sites for check in ("site", "rights", "audit")} < looked_at
        assert "all is well" in daemon.command("doctor").stdout

        _upload_qcow2(cleared, tmp_path / "appliance.qcow2")
        code, found = _doctor(daemon)
        assert (code, set(_bad(found))) == (0, {("formats", "")})
        assert "appliance (qcow2)" in _bad(found)["formats", ""]["found"]


def test_everything_that_is_broken_is_found_in_one_run(cleared: Lab, tmp_path: Path) -> None:
    lab = cleared
    unprotected = _golden(lab, "unprotected", at=["dcn0", "dcn1"])
    orphan, locked = _golden(lab, "orphan"), _golden(lab, "locked")
    tamper.unprotect_snap(lab, "dcn1", unprotected)
    tamper.make_partial(lab, "dcn1", orphan, 12 * MIB)
    faults.break_site(lab, "dcn0", How.PAUSE_OSD)
    with api.login(lab) as session:
        _copy(session, lab, locked, "dcn0")
    _until(lambda: "os_glance_import_task" in show(lab, locked), "the import holds its lock")
    glance.kill(lab)
    glance.ensure(lab)
    tasks.age(lab, locked, 30)

    with _configured(lab, tmp_path / "right") as daemon:
        code, found = _doctor(daemon)
        bad = _bad(found)
        assert code == 1
        assert bad["site", "dcn0"]["grade"] == "problem"
        assert "read from an OSD" in bad["site", "dcn0"]["found"]
        assert bad["broken copy", "dcn1"]["grade"] == "problem"
        assert unprotected in bad["broken copy", "dcn1"]["details"][0]
        # Too young to be sure of it: edgesync waits, and so does whoever reads this.
        assert bad["orphan", "dcn1"]["grade"] == "warning"
        assert "younger than" in bad["orphan", "dcn1"]["remedy"]
        assert bad["locks", ""]["grade"] == "problem"
        assert locked in bad["locks", ""]["details"][0]
        assert bad["daemon", ""]["grade"] == "warning"
        assert ("site", "central") not in bad
        assert ("site", "dcn1") not in bad
        shown = daemon.command("doctor").stdout.splitlines()
        assert next(line.split()[0] for line in shown if line[:1].isalpha()) == "problem", "the worst comes first"

    with _configured(lab, tmp_path / "wrong", dcn1=render.ceph_settings(lab.site("dcn0"))) as daemon:
        code, found = _doctor(daemon)
        assert code == 1
        assert "which is dcn0's" in _bad(found)["cluster", "dcn1"]["found"]
        assert ("broken copy", "dcn1") not in _bad(found), "what lies at dcn0 says nothing of dcn1's copies"

    with _configured(lab, tmp_path / "shut out") as daemon:
        clouds = yaml.safe_load(lab.clouds_file.read_text())
        clouds["clouds"]["edgesync"]["auth"]["password"] = "wrong"
        (tmp_path / "clouds.yaml").write_text(yaml.safe_dump(clouds))
        text = daemon.config.read_text()
        daemon.config.write_text(text.replace(str(lab.clouds_file), str(tmp_path / "clouds.yaml")))
        code, found = _doctor(daemon)
        assert code == 1
        assert _bad(found)["log-in", ""]["grade"] == "problem"
        assert ("site", "central") in {(entry["check"], entry["subject"]) for entry in found if entry["grade"] == "ok"}


@pytest.mark.parametrize(
    ("caps", "missing"),
    [
        ("profile rbd-read-only pool=images", "write objects, change snapshots and move images to the trash"),
        ("allow rw pool=images", ""),
    ],
)
def test_a_key_with_too_few_rights_is_found_out_without_changing_anything(
    cleared: Lab, tmp_path: Path, caps: str, missing: str
) -> None:
    site, user = cleared.site("dcn1"), f"poor-{len(caps)}"
    keyring = tmp_path / "keyring"
    with ceph.connect(site) as admin:
        entity = f"client.{user}"
        code, key, said = admin.mon_command(
            json.dumps({"prefix": "auth get-or-create", "entity": entity, "caps": ["mon", "profile rbd", "osd", caps]}),
            b"",
        )
        assert code == 0, said
        keyring.write_bytes(key)
        try:
            poor = {"conf": str(site.conf), "user": user, "keyring": str(keyring)}
            with _configured(cleared, tmp_path, dcn1=poor) as daemon:
                code, found = _doctor(daemon)
        finally:
            ceph.ask(admin, "auth rm", entity=entity)
    bad = _bad(found)
    assert code == 1
    assert "profile rbd pool=images" in bad["rights" if missing else "site", "dcn1"]["remedy"]
    assert missing in bad["rights" if missing else "site", "dcn1"]["found"]
    assert ("rights", "central") not in bad
