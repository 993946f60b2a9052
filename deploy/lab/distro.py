"""Debian's glance-api 25.1, for clouds that are older than the pinned Glance.

Its packages are unpacked into a folder instead of being installed: the hundred and fifty old Python libraries stay out
of everybody's sight, and no maintainer script starts a service, makes a user or asks for a database.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from deploy.lab.errors import LabError
from deploy.lab.layout import DISTRO
from deploy.lab.wait import say

PACKAGE = "glance-api"
PYTHON = "/usr/bin/python3"  # the one that Debian's packages are built for
_LIBRARIES = DISTRO / "usr/lib"
ENVIRONMENT = {
    "PYTHONPATH": str(_LIBRARIES / "python3/dist-packages"),
    "LD_LIBRARY_PATH": ":".join(str(_LIBRARIES / f"{machine}-linux-gnu") for machine in ("x86_64", "aarch64")),
}
# Others that Glance's depend on are for hosts: init systems, iSCSI.
_UNPACKED = ("glance", "python", "lib", "alembic")
_SLOW = 1200  # seconds for a package manager on a slow line


def there() -> bool:
    return (DISTRO / "made").exists()


def command(program: str) -> list[str]:
    """The beginning of a command line for one of its programs; it needs `ENVIRONMENT`, too."""
    return [PYTHON, str(DISTRO / "usr/bin" / program)]


def install() -> None:
    """Fetch the package with all that it depends on and the machine lacks, and unpack them."""
    say(f"Debian's {PACKAGE} into {DISTRO} (half a minute)")
    shutil.rmtree(DISTRO, ignore_errors=True)
    archives = DISTRO / "archives"
    (archives / "partial").mkdir(parents=True)
    _run(["apt-get", "-qq", "update"])
    options = ["--no-install-recommends", "--download-only", "-o", f"Dir::Cache::archives={archives}"]
    _run(["apt-get", "-qq", "install", "-y", *options, PACKAGE])
    _unpack(package for package in archives.glob("*.deb") if package.name.startswith(_UNPACKED))
    shutil.rmtree(archives)
    (DISTRO / "made").touch()


def _unpack(packages: Iterable[Path]) -> None:
    for package in packages:
        _run(["dpkg-deb", "--extract", str(package), str(DISTRO)])


def _run(argv: list[str]) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_SLOW, env=env, check=False
    )
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}\nfailed:\n{done.stdout[-2000:]}")
