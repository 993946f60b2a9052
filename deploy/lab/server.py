"""Serve one of OpenStack's APIs.

Under gunicorn, not uWSGI: it is plain Python, so a bare machine needs no compiler, and Glance's own background threads
run in its worker as they are, drained at a graceful stop and lost at a kill, as in the field.
"""

from collections.abc import Mapping
from pathlib import Path

from deploy.lab import render
from deploy.lab.layout import OPENSTACK, Lab, write
from deploy.lab.processes import Process, spawn


def serve(
    lab: Lab, application: str, *, port: int, threads: int, folder: Path, log: Path, env: Mapping[str, str]
) -> Process:
    """Start the API and record it as `api.pid` in its folder."""
    settings = folder / "gunicorn.conf.py"
    write(settings, render.gunicorn(application, port, threads, folder))
    # Keystone takes the arguments of the program that it runs in for its own, so there may be none.
    arguments = {"GUNICORN_CMD_ARGS": f"--config={settings}"}
    argv = [str(OPENSTACK / "bin/gunicorn")]
    return spawn(argv, record=folder / "api.pid", log=log, mark=lab.folder, env={**env, **arguments})
