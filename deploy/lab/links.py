"""The links between central and the edges: made, cut, limited, read, and taken away.

An edge is a network namespace, joined to this machine by a veth pair. Its address is on the namespace's own loopback,
so that its daemons go on talking to each other while the link is down, as at a site whose WAN is cut. And central never
learns of a cut: what it sends is lost, and neither a refusal nor "no route" comes back.

A link is found by its name, and its state is what the kernel says.
"""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from deploy.lab.errors import LabError
from deploy.lab.layout import HUB, Lab, Link, Site, link_key
from deploy.lab.processes import environment

_NAMESPACES = Path("/run/netns")
_INTERFACES = Path("/sys/class/net")
_IPV6 = Path("/proc/sys/net/ipv6")
_UPLINK = "uplink"  # the edge's end of the pair, in its namespace
_PATIENCE = 30  # seconds for a command that takes milliseconds
_HERE, _THERE = "192.0.2.1", "192.0.2.2"  # for trying: nobody's (RFC 5737), nor any lab's
_UNITS = {"kbit": 10**3, "mbit": 10**6, "gbit": 10**9}
_IFF_UP = 1
_PACKET = 72 * 2**10  # bytes; the most that the kernel hands over at once, with the headers it will have


class Wire(NamedTuple):
    """Bytes on a link since it was made, as central's interface counts them: with headers of every layer."""

    received: int  # from the edge
    sent: int  # to the edge


def obstacle(lab_folder: Path) -> str | None:
    """Why this process can't make links here, in the kernel's words; none if it can: one is made, limited, removed."""
    key, pid = link_key(lab_folder), os.getpid()
    link = Link(
        namespace=f"edgesync-{lab_folder.name}-probe{pid}-{key}", interface=f"{pid:x}-{key}", central=_HERE, edge=_THERE
    )
    try:
        try:
            _make(lab_folder, link, _UNITS["gbit"])
            _run(lab_folder, *_inside(link, ["true"]))
        finally:
            _remove(lab_folder, [link.interface], [link.namespace])
    except (LabError, FileNotFoundError) as error:
        return str(error)
    return None


def whole(site: Site) -> bool:
    """Whether the site's link has been made to the end; it may be cut."""
    link = _link(site)
    # The last step of making one brings central's end up, and nothing but its removal takes that down.
    return (_NAMESPACES / link.namespace).exists() and bool(int(_seen(link, "flags") or "0", 16) & _IFF_UP)


def make(lab: Lab, site: Site) -> None:
    """Make the site's link, in place of whatever is left of one, with the lab's limit on it."""
    link = _link(site)
    _remove(lab.folder, [link.interface], [link.namespace])
    _make(lab.folder, link, lab.rate)


def cut(lab: Lab, site: Site) -> None:
    """Take the edge's end down: every packet is lost from now on, in both directions."""
    _run(lab.folder, "ip", "-n", _link(site).namespace, "link", "set", _UPLINK, "down")


def join(lab: Lab, site: Site) -> None:
    """Undo a cut; harmless without one."""
    _join(lab.folder, _link(site))


def carries(site: Site) -> bool:
    """Whether packets go through: the link is there and not cut."""
    return _seen(_link(site), "carrier") == "1"


def limit(lab: Lab, site: Site, rate: int) -> None:
    """Let at most so many bits per second through each way; 0 lifts the limit."""
    _limit(lab.folder, _link(site), rate)


def limited(lab: Lab, site: Site) -> int:
    """The limit that is on the link, in bits per second; 0 if there is none."""
    shown = json.loads(_run(lab.folder, "tc", "-j", "qdisc", "show", "dev", _link(site).interface))
    return max((discipline["options"].get("rate", 0) * 8 for discipline in shown if "options" in discipline), default=0)


def wire(lab: Lab, site: str) -> Wire:
    """What has gone over the link of one edge so far."""
    link = _link(lab.site(site))
    received, sent = (_seen(link, f"statistics/{way}_bytes") for way in ("rx", "tx"))
    if received is None or sent is None:
        raise LabError(f"{site} has lost its link; python -m deploy.lab heal {site} --name {lab.name}")
    return Wire(received=int(received), sent=int(sent))


def inside(site: Site, argv: Sequence[str]) -> list[str]:
    """The command line that runs a program in the site's network. The program keeps the pid and the environment."""
    return _inside(site.link, argv) if site.link else list(argv)


def left(lab_folder: Path) -> tuple[list[str], list[str]]:
    """The interfaces and the namespaces that bear the key of the lab in that folder."""
    ending = f"*-{link_key(lab_folder)}"
    interfaces, namespaces = (sorted(path.name for path in place.glob(ending)) for place in (_INTERFACES, _NAMESPACES))
    return interfaces, namespaces


def remove(lab_folder: Path) -> int:
    """Take away every link of the lab, whole or not, and say how many there were."""
    interfaces, namespaces = left(lab_folder)
    _remove(lab_folder, interfaces, namespaces)
    return max(len(interfaces), len(namespaces))


def parse(text: str) -> int:
    """Bits per second of a rate such as `200mbit`; 0 for `none`."""
    if text == "none":
        return 0
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(kbit|mbit|gbit)", text)
    rate = int(float(found[1]) * _UNITS[found[2]]) if found else 0
    if not rate:
        raise LabError(f"{text!r} is no rate: write it like 500kbit, 200mbit or 1.5gbit; none lifts a limit")
    return rate


def shown(rate: int) -> str:
    """A rate as `parse` takes it."""
    if not rate:
        return "none"
    unit = max((unit for unit in _UNITS if rate >= _UNITS[unit]), key=_UNITS.__getitem__, default="kbit")
    return f"{rate / _UNITS[unit]:g}{unit}"


def _make(lab_folder: Path, link: Link, rate: int) -> None:
    _run(lab_folder, "ip", "netns", "add", link.namespace)
    pair = ("address", _hardware(link.central), "type", "veth", "peer", "name", _UPLINK, "netns", link.namespace)
    _run(lab_folder, "ip", "link", "add", link.interface, *pair, "address", _hardware(link.edge))
    _batch(
        lab_folder,
        f"link set lo up\naddress add {link.edge}/32 dev lo\n{_quiet(_UPLINK)}",
        namespace=link.namespace,
    )
    _join(lab_folder, link)
    if rate:
        _limit(lab_folder, link, rate)
    # A neighbour that need not be asked for: over a cut link, connecting would soon fail for want of an answer.
    _batch(
        lab_folder,
        f"{_quiet(link.interface)}"
        f"address add {link.central}/32 peer {link.edge} dev {link.interface}\n"
        f"neighbour replace {link.edge} lladdr {_hardware(link.edge)} nud permanent dev {link.interface}\n"
        f"link set {link.interface} up",
    )


def _quiet(end: str) -> str:
    """What keeps IPv6 from giving an end addresses, so that a silent link carries nothing: if the kernel has IPv6."""
    return f"link set {end} addrgenmode none\n" if _IPV6.exists() else ""


def _join(lab_folder: Path, link: Link) -> None:
    # The route goes with a cut.
    _batch(
        lab_folder,
        f"link set {_UPLINK} up\nroute replace {link.central} dev {_UPLINK} src {link.edge}",
        namespace=link.namespace,
    )


def _limit(lab_folder: Path, link: Link, rate: int) -> None:
    """Ten milliseconds may go at once, but never less than a packet as the kernel hands it over.

    A tenth of a second may wait, and TCP feels the rest.
    """
    burst = max(rate // 8 // 100, _PACKET)
    discipline = ("tbf", "rate", str(rate), "burst", str(burst), "latency", "100ms") if rate else ("noqueue",)
    for where, end in (((), link.interface), (("-n", link.namespace), _UPLINK)):
        _run(lab_folder, "tc", *where, "qdisc", "replace", "dev", end, "root", *discipline)


def _link(site: Site) -> Link:
    if site.link is None:
        why = "is where the links begin" if site.name == HUB else "is on loopback, as its whole lab is"
        raise LabError(f"{site.name} {why}: it has no link to cut, limit or read")
    return site.link


def _seen(link: Link, what: str) -> str | None:
    """What the kernel says of central's end; nothing if that isn't there, or has no such thing while it is down."""
    try:
        return (_INTERFACES / link.interface / what).read_text().strip()
    except OSError:
        return None


def _inside(link: Link, argv: Sequence[str]) -> list[str]:
    return ["ip", "netns", "exec", link.namespace, *argv]


def _hardware(address: str) -> str:
    """A hardware address of nobody's (the 02 says so), from the IP address."""
    return ":".join(["02", "00", *(f"{int(part):02x}" for part in address.split("."))])


def _remove(lab_folder: Path, interfaces: Sequence[str] = (), namespaces: Sequence[str] = ()) -> None:
    # The interfaces first: a namespace that is removed takes its own with it at some later moment only.
    for interface in interfaces:
        if (_INTERFACES / interface).exists():
            _run(lab_folder, "ip", "link", "delete", interface)
    for namespace in namespaces:
        if (_NAMESPACES / namespace).exists():
            _run(lab_folder, "ip", "netns", "delete", namespace)


def _batch(lab_folder: Path, lines: str, namespace: str | None = None) -> None:
    where = ("-n", namespace) if namespace else ()
    _run(lab_folder, "ip", *where, "-batch", "-", given=lines)


def _run(lab_folder: Path, *argv: str, given: str = "") -> str:
    # Marked as the lab's own: should we be killed, `down` waits for its end before it looks for what it made.
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    env = environment(lab_folder, {"PATH": path})
    try:
        done = subprocess.run(
            argv, input=given, capture_output=True, text=True, timeout=_PATIENCE, env=env, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(argv)}: no end after {_PATIENCE} s") from error
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: {done.stderr.strip() or f'exit {done.returncode}'}")
    return done.stdout
