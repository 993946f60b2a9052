"""Keystone, with everybody who logs in here."""

import base64
import os
import shutil
import subprocess
from pathlib import Path

from keystoneauth1.session import Session

from deploy.lab import api, render
from deploy.lab.errors import LabError
from deploy.lab.layout import OPENSTACK, Lab, write
from deploy.lab.processes import Process, environment, recorded
from deploy.lab.server import serve
from deploy.lab.wait import say, tail, until

PATIENCE = 90
_ROLES = {"member": ["member"], "edgesync": ["admin"], "glance": ["service"]}


def ensure(lab: Lab) -> None:
    """Make Keystone if it is not there, start it if it does not run, and wait until it answers."""
    here = _folder(lab)
    fresh = not (here / "made").exists()
    if fresh:
        _make(lab)
    process = running(lab) or start(lab)
    until(lambda: api.answers(lab.keystone_url), "keystone", seconds=PATIENCE, process=process, log=_log(lab))
    say("keystone: answers")
    if fresh:
        with api.login(lab) as session:
            _populate(lab, session)
        (here / "made").touch()
        say("keystone: users, projects and log-ins are there")


def running(lab: Lab) -> Process | None:
    return recorded(_folder(lab) / "api.pid")


def start(lab: Lab) -> Process:
    here = _folder(lab)
    write(here / "keystone.conf", render.keystone_conf(lab))
    return serve(
        lab,
        "keystone.wsgi.api:application",
        port=lab.keystone_port,
        threads=8,
        folder=here,
        log=_log(lab),
        env={"OS_KEYSTONE_CONFIG_DIR": str(here)},
    )


def stop(lab: Lab) -> None:
    if process := running(lab):
        process.stop(patience=1)  # it has nothing to finish


def expire_tokens(lab: Lab) -> None:
    """Make every token ever issued invalid at once: nobody has the key any more. Log-ins go on working.

    Keystone reads its keys anew for each token, and no cache stands before it here, so there is nothing to restart.
    """
    _new_keys(_folder(lab) / "fernet-keys")


def _folder(lab: Lab) -> Path:
    return lab.folder / "keystone"


def _log(lab: Lab) -> Path:
    return _folder(lab) / "keystone.log"


def _make(lab: Lab) -> None:
    here = _folder(lab)
    if process := running(lab):
        process.kill()
    shutil.rmtree(here, ignore_errors=True)
    for keys in ("fernet-keys", "credential-keys"):
        (here / keys).mkdir(parents=True, mode=0o700)
        _new_keys(here / keys)
    write(here / "keystone.conf", render.keystone_conf(lab))
    _manage(lab, "db_sync")
    urls = [f"--bootstrap-{kind}-url={lab.keystone_url}" for kind in ("public", "internal", "admin")]
    _manage(lab, "bootstrap", "--bootstrap-region-id=RegionOne", *urls)
    say("keystone: database is there")


def _new_keys(folder: Path) -> None:
    """0 is the key staged for later, the highest number the one in use."""
    for number in ("0", "1"):
        write(folder / number, base64.urlsafe_b64encode(os.urandom(32)).decode())


def _manage(lab: Lab, *command: str) -> None:
    argv = [str(OPENSTACK / "bin/keystone-manage"), f"--config-dir={_folder(lab)}", *command]
    env = environment(lab.folder, {"OS_BOOTSTRAP_PASSWORD": lab.secret("admin")})
    with _log(lab).open("a") as log:
        done = subprocess.run(argv, stdout=log, stderr=log, timeout=PATIENCE, env=env, check=False)
    if done.returncode != 0:
        raise LabError(f"keystone-manage {command[0]} failed. The end of {_log(lab)}:\n{tail(_log(lab))}")


def _populate(lab: Lab, session: Session) -> None:
    """Glance in the catalogue, the users with their projects, and edgesync's application credential."""
    url = lab.keystone_url
    image = session.post(f"{url}/services", json={"service": {"type": "image", "name": "glance"}}).json()["service"]
    for interface in ("public", "internal", "admin"):
        endpoint = {"interface": interface, "url": lab.glance_url, "service_id": image["id"], "region_id": "RegionOne"}
        session.post(f"{url}/endpoints", json={"endpoint": endpoint})
    roles = {role["name"]: role["id"] for role in session.get(f"{url}/roles").json()["roles"]}
    projects = {
        name: session.post(f"{url}/projects", json={"project": {"name": name}}).json()["project"]["id"]
        for name in ("service", "tenant")
    }
    users: dict[str, str] = {}
    for user, granted in _ROLES.items():
        account = {"name": user, "password": lab.secret(user)}
        users[user] = session.post(f"{url}/users", json={"user": account}).json()["user"]["id"]
        for role in granted:
            session.put(f"{url}/projects/{projects[api.PROJECTS[user]]}/users/{users[user]}/roles/{roles[role]}")
    credential = {"name": "edgesync", "secret": lab.secret("edgesync-appcred")}
    with api.login(lab, "edgesync") as own:  # nobody can make one for another
        path = f"{url}/users/{users['edgesync']}/application_credentials"
        made = own.post(path, json={"application_credential": credential}).json()["application_credential"]
    write(lab.clouds_file, render.clouds(lab, made["id"]))
