"""A lab for the tests that need a real cloud: one for the whole run, `EDGESYNC_LAB_KEEP=1` keeps it for the next.

Where tests run side by side, each of their processes has a lab of its own.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from deploy.lab import api, faults, glance, lifecycle, links, readback, tamper
from deploy.lab.layout import HOME, ROOT, Lab, Site
from tests.lab.daemon import DaemonProcess, daemon_of

# What pytest-xdist calls this process.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
NAME = f"test{WORKER}"
KEEP = os.environ.get("EDGESYNC_LAB_KEEP") == "1"

# Without links between the sites the lab is on loopback: there is nothing of which these could be said.
OBSTACLE = links.obstacle(HOME / NAME)
LINKED = OBSTACLE is None
needs_links = pytest.mark.skipif(not LINKED, reason=f"no links between sites can be made here: {OBSTACLE}")


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Run in the background of a shell, the tests ignore SIGINT, and so would every process that they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Central and two edges, healthy."""
    if not KEEP:
        lifecycle.down(NAME)
    yield lifecycle.up(NAME, edges=2)
    if not KEEP:
        lifecycle.down(NAME)


def at_every_site(lab: Lab, deed: Callable[[Lab, Site], None]) -> None:
    """Do it at all sites at once: most of it is waiting for their Ceph."""
    with ThreadPoolExecutor(len(lab.sites)) as pool:
        for _ in pool.map(partial(deed, lab), lab.sites):
            pass


def mend(lab: Lab) -> None:
    at_every_site(lab, faults.repair)
    glance.ensure(lab)


def clear(lab: Lab) -> None:
    """No image in Glance, nor in any site's pool or trash: audits would find what other tests have left."""
    url = f"{lab.glance_url}/v2/images"
    with api.login(lab) as session:
        for hidden in ("false", "true"):
            params = {"limit": "1000", "visibility": "all", "os_hidden": hidden}
            for image in session.get(url, params=params).json()["images"]:
                session.delete(f"{url}/{image['id']}", raise_exc=False)
    at_every_site(lab, _clear_pool)


def _clear_pool(lab: Lab, site: Site) -> None:
    for name in readback.rbd_images(lab, site.name):
        tamper.remove_image(lab, site.name, name)
    tamper.empty_trash(lab, site.name)
    tamper.remove_objects(lab, site.name)


@pytest.fixture
def breakable(lab: Lab) -> Iterator[Lab]:
    """The same lab, for a test that breaks something: whole again when it ends."""
    yield lab
    mend(lab)


@contextmanager
def prepared(lab: Lab, folder: Path, *, rbd: bool = False) -> Iterator[DaemonProcess]:
    """A daemon, not yet started, that knows the sites' Ceph, in a lab to break; nothing is left of it in the end."""
    clear(lab)
    with daemon_of(lab, folder, rbd=rbd) as process:
        yield process
        process.stop()
        mend(lab)
        process.forget_images()


@pytest.fixture
def daemon(lab: Lab, tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon of the test's own, whose copies Glance makes."""
    with prepared(lab, tmp_path) as process:
        yield process


@pytest.fixture
def mover(lab: Lab, tmp_path: Path) -> Iterator[DaemonProcess]:
    """The same, with the rbd engine."""
    with prepared(lab, tmp_path, rbd=True) as process:
        yield process


@pytest.fixture(scope="module")
def shared_mover(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """One with the rbd engine for all tests of a module, which runs."""
    with prepared(lab, tmp_path_factory.mktemp("mover"), rbd=True) as process:
        process.start()
        yield process


@pytest.fixture(scope="session")
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command of the lab to its end, as a person does; or as one who lacks a capability."""

    def finished(*argv: str, without: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "deploy.lab", *argv]
        if without:
            command = ["setpriv", f"--bounding-set=-{without}", *command]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    return finished
