"""Images to synchronise: two versions of a real Debian, and small random ones for quick tests.

Real file systems matter: how much two versions share, and where the zeros are, decides how an image is best sent.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from deploy.lab.errors import LabError
from deploy.lab.layout import IMAGES
from deploy.lab.wait import say

SIZE = 2**30
_SUITE = "bookworm"
_CHANGED_FILES = 6
_CHANGED_SIZE = 512 * 2**10
_DEADLINE = 600  # seconds; packages come over the network
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def debian_v1(folder: Path = IMAGES) -> Path:
    """A Debian root file system of real packages in ext4: 1 GiB raw, of which some 200 MB is data."""
    return _cached(folder / "debian-v1.raw", _build_debian)


def debian_v2(folder: Path = IMAGES) -> Path:
    """The first version changed in place, as an upgrade of a running server does: a few MB differ."""
    base = debian_v1(folder)
    return _cached(folder / "debian-v2.raw", lambda path: _change_debian(base, path))


def random_image(size: int, seed: int = 0, folder: Path = IMAGES) -> Path:
    """Bytes that are the same for the same seed, and compress to nothing less."""

    def fill(path: Path) -> None:
        with path.open("wb") as file:
            for start in range(0, size, 2**20):
                file.write(_noise(f"{seed}/{start}", min(2**20, size - start)))

    return _cached(folder / f"random-{size}-{seed}.raw", fill)


def _cached(path: Path, build: Callable[[Path], None]) -> Path:
    """Built under another name, so that a build cut short is never taken for an image."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as workshop:
            partial = Path(workshop, path.name)
            build(partial)
            partial.replace(path)
        say(f"built {path}")
    return path


def _build_debian(path: Path) -> None:
    say(f"debian-v1: Debian {_SUITE} from its packages")
    root = path.with_suffix(".root")
    sources = [*Path("/etc/apt").glob("sources.list"), *Path("/etc/apt/sources.list.d").glob("debian.*")]
    _run(
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        "--include=openssh-server,python3-minimal,systemd-sysv",
        _SUITE,
        str(root),
        *map(str, sources),
    )
    with path.open("wb") as file:
        file.truncate(SIZE)
    _run("mke2fs", "-q", "-t", "ext4", "-L", "debian", "-d", str(root), str(path))
    shutil.rmtree(root)


def _change_debian(base: Path, path: Path) -> None:
    say("debian-v2: debian-v1 with files written into its file system")
    _run("cp", "--sparse=always", str(base), str(path))
    commands = []
    for number in range(_CHANGED_FILES):
        file = path.with_name(f"upgrade-{number}")
        file.write_bytes(_noise(file.name, _CHANGED_SIZE))
        commands.append(f"write {file} /var/lib/{file.name}")
    script = path.with_suffix(".debugfs")
    script.write_text("\n".join(commands) + "\n")
    _run("debugfs", "-w", "-f", str(script), str(path))


def _noise(label: str, size: int) -> bytes:
    return hashlib.shake_256(label.encode()).digest(size)


def _run(*argv: str) -> None:
    env = {**os.environ, "PATH": _PATH}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_DEADLINE, env=env, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}\nfailed:\n{done.stderr[-2000:]}")
