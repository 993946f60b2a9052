"""What a lab is: a few settings and a seed, from which every path, port, address, identity and secret follows.

Nothing else is stored, so a lab killed in the middle of anything can be started again or taken away completely.
"""

import base64
import dataclasses
import hashlib
import hmac
import json
import struct
import uuid
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from deploy.lab import ports
from deploy.lab.errors import LabError

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".lab"
OPENSTACK = HOME / "openstack-venv"
DISTRO = HOME / "glance-distro"
IMAGES = HOME / "images"

HUB = "central"
POOLS = ("images", "vms", "volumes")
MAX_EDGES = 8
TOKEN_LIFETIME = 3600
LOOPBACK = "127.0.0.1"

_SERVICE_PORTS = 20  # the first ports of a block; then as many again for each site


class Release(StrEnum):
    """Which Glance a lab runs."""

    PINNED = "pinned"  # the one in requirements.txt
    DISTRO = "distro"  # Debian's, years older


class Network(StrEnum):
    """What lies between central and the edges."""

    NAMESPACES = "namespaces"  # each edge is a network of its own behind a link, which can be cut, limited and read
    LOOPBACK = "loopback"  # nothing: all on 127.0.0.1


@dataclass(frozen=True, kw_only=True)
class Link:
    """The line from central to an edge: a veth pair, one end of it in the edge's network namespace.

    Both names end with the lab's key, by which `down` finds what a lab has left.
    """

    namespace: str
    interface: str  # central's end of the pair; 15 characters at most, as the kernel wants it
    central: str  # the address at central's end
    edge: str  # the address at the edge's end


@dataclass(frozen=True, kw_only=True)
class Site:
    """One site: a Ceph cluster of one monitor, one manager and one OSD."""

    name: str
    folder: Path
    port: int  # the monitor's; the OSD and the manager bind in `bind_range`
    fsid: str
    seed: str
    link: Link | None = None  # none: on this machine's loopback

    @property
    def address(self) -> str:
        return self.link.edge if self.link else LOOPBACK

    @property
    def conf(self) -> Path:
        return self.folder / "ceph.conf"

    @property
    def bind_range(self) -> tuple[int, int]:
        return self.port + 1, self.port + _SERVICE_PORTS - 1

    def keyring(self, user: str) -> Path:
        """The keyring of a client such as `glance`."""
        return self.folder / f"client.{user}.keyring"

    def key(self, entity: str) -> str:
        """A cephx key: type, creation time and length, then sixteen bytes."""
        raw = hmac.digest(self.seed.encode(), f"{self.name}/{entity}".encode(), "sha256")[:16]
        return base64.b64encode(struct.pack("<hIIh", 1, 0, 0, 16) + raw).decode()


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A lab, running or not."""

    name: str
    edges: int
    base_port: int
    seed: str  # of every secret in this lab
    token_lifetime: int = TOKEN_LIFETIME  # seconds
    glance: Release = Release.PINNED
    network: Network = Network.LOOPBACK
    rate: int = 0  # bits per second of every link, each way, when it is made; 0: no limit
    home: Path = HOME

    @classmethod
    def load(cls, name: str = "dev", home: Path = HOME) -> "Lab":
        """The lab of that name, as `up` recorded it."""
        try:
            state = json.loads((home / name / "state.json").read_text())
        except FileNotFoundError:
            raise LabError(f"there is no lab {name!r}; start it: python -m deploy.lab up --name {name}") from None
        return cls(
            home=home,
            **{
                **state,
                "glance": Release(state.get("glance", Release.PINNED)),
                "network": Network(state.get("network", Network.LOOPBACK)),
            },
        )

    def save(self) -> None:
        state = dataclasses.asdict(self)
        del state["home"]
        write(self.folder / "state.json", json.dumps(state, indent=1))

    @property
    def folder(self) -> Path:
        return self.home / self.name

    @property
    def keystone_port(self) -> int:
        return self.base_port

    @property
    def keystone_url(self) -> str:
        return f"http://127.0.0.1:{self.keystone_port}/v3"

    @property
    def glance_port(self) -> int:
        return self.base_port + 1

    @property
    def glance_url(self) -> str:
        return f"http://127.0.0.1:{self.glance_port}"

    @property
    def api_port(self) -> int:
        """Left free for edgesync's own API."""
        return self.base_port + 2

    @property
    def mariadb_port(self) -> int:
        return self.base_port + 3

    @property
    def glance_database(self) -> str:
        return f"mysql+pymysql://glance:{self.secret('mariadb')}@127.0.0.1:{self.mariadb_port}/glance"

    @property
    def clouds_file(self) -> Path:
        return self.folder / "clouds.yaml"

    @property
    def openrc_file(self) -> Path:
        return self.folder / "openrc"

    @property
    def edgesync_file(self) -> Path:
        return self.folder / "edgesync.yaml"

    @property
    def sites(self) -> tuple[Site, ...]:
        """Central first, then the edges."""
        names = (HUB, *(f"dcn{number}" for number in range(self.edges)))
        return tuple(self._site(index, name) for index, name in enumerate(names))

    def site(self, name: str) -> Site:
        for site in self.sites:
            if site.name == name:
                return site
        raise LabError(f"lab {self.name!r} has no site {name!r}: {', '.join(site.name for site in self.sites)}")

    def secret(self, label: str) -> str:
        return hmac.digest(self.seed.encode(), label.encode(), "sha256").hex()[:32]

    def _link(self, edge: int, name: str) -> Link:
        key = link_key(self.folder)
        central, there = ports.ends(self.base_port, edge)
        return Link(
            namespace=f"edgesync-{self.name}-{name}-{key}", interface=f"{name}-{key}", central=central, edge=there
        )

    def _site(self, index: int, name: str) -> Site:
        return Site(
            name=name,
            folder=self.folder / name,
            port=self.base_port + _SERVICE_PORTS * (index + 1),
            fsid=str(uuid.UUID(self.secret(f"fsid/{name}"), version=4)),
            seed=self.seed,
            link=self._link(index - 1, name) if index and self.network is Network.NAMESPACES else None,
        )


def link_key(folder: Path) -> str:
    """What the names of a lab's links end with. It follows from the folder alone, as the mark of its processes does."""
    return hashlib.sha256(str(folder).encode()).hexdigest()[:8]


def replace(lab: Lab, *, token_lifetime: int, rate: int) -> Lab:
    changed = dataclasses.replace(lab, token_lifetime=token_lifetime, rate=rate)
    changed.save()
    return changed


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a whole file or none of it."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.chmod(mode)
    partial.replace(path)
