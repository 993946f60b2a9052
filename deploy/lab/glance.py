"""Glance's API, one store per site."""

import shutil
import subprocess
from pathlib import Path

from keystoneauth1.exceptions import ClientException

from deploy.lab import api, distro, mariadb, render
from deploy.lab.errors import LabError
from deploy.lab.layout import OPENSTACK, Lab, Release, write
from deploy.lab.processes import Process, environment, recorded, spawn
from deploy.lab.server import serve
from deploy.lab.wait import say, tail, until

PATIENCE = 90
_FOLDERS = ("cache", "staging", "tasks", "work")


def prepare(lab: Lab) -> None:
    """Make Glance's folders and database if they are not there, and start its database server."""
    here = _folder(lab)
    made = (here / "made").exists()
    # A schema that was being made when somebody killed us can't be completed: start from an empty database.
    mariadb.ensure(lab, anew=not made)
    if made:
        return
    if process := running(lab):
        process.kill()
    shutil.rmtree(here, ignore_errors=True)
    for folder in _FOLDERS:
        (here / folder).mkdir(parents=True)
    write(here / "glance-api.conf", render.glance_conf(lab))
    old = lab.glance is Release.DISTRO
    manage = distro.command("glance-manage") if old else [str(OPENSTACK / "bin/glance-manage")]
    argv = [*manage, f"--config-file={here}/glance-api.conf", "db_sync"]
    with _log(lab).open("a") as log:
        env = environment(lab.folder, distro.ENVIRONMENT if old else None)
        done = subprocess.run(argv, stdout=log, stderr=log, timeout=PATIENCE, env=env, check=False)
    if done.returncode != 0:
        raise LabError(f"glance-manage db_sync failed. The end of {_log(lab)}:\n{tail(_log(lab))}")
    (here / "made").touch()
    say("glance: database is there")


def ensure(lab: Lab) -> None:
    """Start the API if it does not run, and wait until it shows its stores to a user."""
    process = running(lab) or start(lab)
    until(lambda: healthy(lab), "glance", seconds=PATIENCE, process=process, log=_log(lab))
    say("glance: answers")


def healthy(lab: Lab) -> bool:
    """Whether a user who logs in is shown every site's store."""
    try:
        with api.login(lab, "edgesync", deadline=10) as session:
            stores = session.get(f"{lab.glance_url}/v2/info/stores").json()["stores"]
    except ClientException:
        return False
    return {store["id"] for store in stores} >= {site.name for site in lab.sites}


def running(lab: Lab) -> Process | None:
    return recorded(_folder(lab) / "api.pid")


def start(lab: Lab) -> Process:
    here = _folder(lab)
    if lab.glance is Release.DISTRO:
        argv = [*distro.command("glance-api"), f"--config-file={here}/glance-api.conf"]
        return spawn(argv, record=here / "api.pid", log=_log(lab), mark=lab.folder, env=distro.ENVIRONMENT)
    return serve(
        lab,
        "glance.wsgi.api:application",
        port=lab.glance_port,
        threads=16,
        folder=here,
        log=_log(lab),
        env={"OS_GLANCE_CONFIG_DIR": str(here)},
    )


def kill(lab: Lab) -> None:
    """End the API and its worker as a crash does: whatever it was copying is left as it is."""
    if process := running(lab):
        process.kill()


def stop(lab: Lab) -> None:
    """End the API as a service manager does: it may finish its tasks for a while, then it is killed."""
    if process := running(lab):
        process.stop(patience=5)


def _folder(lab: Lab) -> Path:
    return lab.folder / "glance"


def _log(lab: Lab) -> Path:
    return _folder(lab) / "glance.log"
