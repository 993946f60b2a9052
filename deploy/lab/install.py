"""What the lab needs on the machine: Debian's packages, and OpenStack in a virtual environment of its own.

OpenStack's libraries are kept apart from edgesync's, and pinned down to the last one: a lab that changes under the
tests proves nothing. Debian's python3-rados and python3-rbd are linked in, being on no package index.
"""

import hashlib
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

from deploy.lab import distro
from deploy.lab.errors import LabError
from deploy.lab.layout import HOME, OPENSTACK, Release, write
from deploy.lab.wait import say

PACKAGES = {
    "ceph-mon": "ceph-mon",
    "ceph-osd": "ceph-osd",
    "ceph-mgr": "ceph-mgr",
    "monmaptool": "ceph-common",
    "rbd": "ceph-common",
    "qemu-img": "qemu-utils",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "tc": "iproute2",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "mariadbd": "mariadb-server-core",
    "mariadb": "mariadb-client-core",
    "my_print_defaults": "mariadb-client-core",  # mariadb-install-db calls it
}
EXTENSIONS = ("rados", "rbd")  # of Debian's python3-rados and python3-rbd
PYTHON = "/usr/bin/python3"  # the one those extensions are built for
_HERE = Path(__file__).parent
REQUIREMENTS = _HERE / "requirements.txt"
CONSTRAINTS = _HERE / "constraints.txt"
_LINKS = Path("/usr/lib/python3/dist-packages")
_SLOW = 1200  # seconds for a package manager on a slow line


def install(release: Release = Release.PINNED) -> None:
    """Install what is missing; with everything there, this takes no time."""
    if packages := _missing_packages():
        _be_root("python -m deploy.lab install")
        say(f"apt-get install {' '.join(packages)}")
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        _run(["apt-get", "-qq", "update"], env)
        _run(["apt-get", "-qq", "install", "-y", "--no-install-recommends", *packages], env)
    if not _venv_is_current():
        _make_venv()
    if release is Release.DISTRO and not distro.there():
        _be_root("python -m deploy.lab install --glance distro")
        distro.install()
    check(release)
    say("everything the lab needs is installed")


def check(release: Release = Release.PINNED) -> None:
    """Refuse to go on where something is missing, naming it and the command that installs it."""
    _be_root("python -m deploy.lab up")
    missing = _missing_packages()
    if not _venv_is_current():
        missing.append(f"OpenStack as pinned in {REQUIREMENTS.relative_to(_HERE.parents[1])}")
    command = "python -m deploy.lab install"
    if release is Release.DISTRO and not distro.there():
        missing.append("Debian's glance-api")
        command += " --glance distro"
    if missing:
        raise LabError(f"the lab needs {', '.join(missing)}; install it: {command}")


def _missing_packages() -> list[str]:
    # Daemons and file system tools are in sbin, which a person's PATH may lack.
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    packages = {package for program, package in PACKAGES.items() if shutil.which(program, path=path) is None}
    packages |= {f"python3-{name}" for name in EXTENSIONS if not list(_LINKS.glob(f"{name}.cpython-*.so"))}
    if not Path(sysconfig.get_path("stdlib", vars={"installed_base": "/usr"}), "ensurepip").exists():
        packages.add("python3-venv")
    return sorted(packages)


def _venv_is_current() -> bool:
    try:
        return (OPENSTACK / "pins").read_text() == _digest()
    except FileNotFoundError:
        return False


def _digest() -> str:
    return hashlib.sha256(b"".join(pins.read_bytes() for pins in (REQUIREMENTS, CONSTRAINTS))).hexdigest()


def _make_venv() -> None:
    say(f"OpenStack into {OPENSTACK} (a minute)")
    HOME.mkdir(exist_ok=True)
    shutil.rmtree(OPENSTACK, ignore_errors=True)
    _run([PYTHON, "-m", "venv", str(OPENSTACK)])
    _run([str(OPENSTACK / "bin/pip"), "install", "-q", "-r", str(REQUIREMENTS), "-c", str(CONSTRAINTS)])
    (site_packages,) = OPENSTACK.glob("lib/python3*/site-packages")
    for name in EXTENSIONS:
        (extension,) = _LINKS.glob(f"{name}.cpython-*.so")
        (site_packages / extension.name).symlink_to(extension)
    write(OPENSTACK / "pins", _digest())


def _be_root(command: str) -> None:
    if os.geteuid() != 0:
        raise LabError(f"the lab starts Ceph's daemons and needs root; run: sudo {command}")


def _run(argv: list[str], env: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_SLOW, env=env, check=False
    )
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}\nfailed:\n{done.stdout[-2000:]}")
