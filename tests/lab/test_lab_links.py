"""A link is a real one: a cut loses packets, a limit holds them back, counters see them; and none outlives its lab."""

import contextlib
import dataclasses
import itertools
import json
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.lab import links, processes, registry
from deploy.lab.errors import LabError
from deploy.lab.layout import ROOT, Lab, Network, Site
from tests.lab.conftest import needs_links

pytestmark = needs_links

MIB = 2**20
LISTENER = """
import socket, sys
with socket.create_server((sys.argv[1], int(sys.argv[2]))) as server:
    while True:
        connection, _ = server.accept()
        with connection:
            received = 0
            while data := connection.recv(2**20):
                received += len(data)
            connection.sendall(b"%d" % received)
"""


def record(name: str, home: Path) -> Lab:
    """A lab of which nothing is there yet."""
    with registry.locked(name, home):
        return registry.create(name, edges=2, token_lifetime=60, home=home, network=Network.NAMESPACES)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Two edges that consist of their links."""
    recorded = record("links", tmp_path)
    for site in recorded.sites[1:]:
        links.make(recorded, site)
    yield recorded
    processes.kill_marked(recorded.folder)
    links.remove(recorded.folder)


@pytest.fixture
def listening(lab: Lab) -> Lab:
    """The same, with something at each edge that counts what it receives."""
    for site in lab.sites[1:]:
        argv = links.inside(site, [sys.executable, "-c", LISTENER, site.address, str(site.port)])
        process = processes.spawn(
            argv, record=site.folder / "listener.pid", log=site.folder / "listener.log", mark=lab.folder
        )
        while not answers(site):
            assert process.alive(), (site.folder / "listener.log").read_text()
    return lab


def answers(site: Site) -> bool:
    with contextlib.suppress(ConnectionRefusedError), connect(site) as connection:
        return delivered(connection) == 0
    return False


def connect(site: Site, deadline: float = 30) -> socket.socket:
    return socket.create_connection((site.address, site.port), timeout=deadline)


def delivered(connection: socket.socket) -> int:
    """Bytes that have arrived, as the edge says before it closes the connection."""
    connection.shutdown(socket.SHUT_WR)
    with connection.makefile() as answer:
        return int(answer.read())


def handed_over(connection: socket.socket) -> int:
    """Bytes that TCP has sent, those among them that it sent again: under load, the kernel itself drops packets."""
    sent: int = struct.unpack_from("Q", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 208), 200)[0]
    return sent


def frames(site: Site) -> int:
    """Packets sent to the edge since its link was made."""
    assert site.link is not None
    return int(Path(f"/sys/class/net/{site.link.interface}/statistics/tx_packets").read_text())


def disciplines(site: Site) -> list[str]:
    """What holds packets back at central's end and at the edge's."""
    assert site.link is not None
    ends = (["dev", site.link.interface], ["dev", "uplink"])
    commands = (["tc", "-j"], ["tc", "-j", "-n", site.link.namespace])
    shown = (
        subprocess.run([*command, "qdisc", "show", *end], capture_output=True, check=True).stdout
        for command, end in zip(commands, ends, strict=True)
    )
    return [json.loads(text)[0]["kind"] for text in shown]


def test_the_wire_counts_what_is_sent(listening: Lab) -> None:
    site = listening.site("dcn0")
    before, elsewhere = links.wire(listening, "dcn0"), links.wire(listening, "dcn1")
    packets = frames(site)
    with connect(site) as connection:
        connection.sendall(bytes(16 * MIB))
        assert delivered(connection) == 16 * MIB
        payload = handed_over(connection)
    after = links.wire(listening, "dcn0")
    headers = after.sent - before.sent - payload
    assert payload >= 16 * MIB
    assert 0 < headers <= 74 * (frames(site) - packets)  # Ethernet, IP, and TCP as long as in a SYN
    assert 0 < after.received - before.received < MIB
    assert links.wire(listening, "dcn1") == elsewhere


def test_a_cut_link_loses_packets_until_it_is_joined(listening: Lab) -> None:
    site = listening.site("dcn0")
    with connect(site) as begun:
        links.cut(listening, site)
        assert not links.carries(site)
        before = links.wire(listening, "dcn0")
        begun.sendall(bytes(1000))
        with pytest.raises(TimeoutError):  # neither refused nor unreachable
            connect(site, deadline=4)
        assert links.wire(listening, "dcn0") == before
        # At the edge they go on talking to each other; and the other edge notices nothing.
        inner = f"import socket; socket.create_connection(({site.address!r}, {site.port}), 5)"
        subprocess.run(links.inside(site, [sys.executable, "-c", inner]), check=True, timeout=30)
        with connect(listening.site("dcn1")) as other:
            other.sendall(bytes(10))
            assert delivered(other) == 10
        links.join(listening, site)
        assert links.carries(site)
        assert delivered(begun) == 1000


def test_a_limit_is_put_on_both_ends_and_lifted(listening: Lab) -> None:
    site = listening.site("dcn0")
    assert (links.limited(listening, site), disciplines(site)) == (0, ["noqueue", "noqueue"])
    links.limit(listening, site, links.parse("200mbit"))
    assert (links.limited(listening, site), disciplines(site)) == (200_000_000, ["tbf", "tbf"])
    links.cut(listening, site)
    links.join(listening, site)
    assert (links.limited(listening, site), disciplines(site)) == (200_000_000, ["tbf", "tbf"])
    with connect(site) as connection:
        connection.sendall(bytes(MIB))
        assert delivered(connection) == MIB
    assert links.limited(listening, listening.site("dcn1")) == 0
    links.limit(listening, site, 0)
    assert (links.limited(listening, site), disciplines(site)) == (0, ["noqueue", "noqueue"])


def test_a_program_at_an_edge_is_found_and_ended(listening: Lab) -> None:
    found = {process.pid for process in processes.marked(listening.folder)}
    for site in listening.sites[1:]:
        process = processes.recorded(site.folder / "listener.pid")
        assert process is not None
        assert process.pid in found
        assert (Path(f"/proc/{process.pid}/ns/net")).readlink() != Path("/proc/self/ns/net").readlink()
    assert processes.kill_marked(listening.folder) == 2


def test_a_link_whose_making_was_interrupted_is_made_whole(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted before its first command, its second, and so on, until it comes to its end."""
    limited = dataclasses.replace(lab, rate=10**9)
    site, run = limited.site("dcn0"), links._run
    for steps in itertools.count():
        links.remove(lab.folder)
        begun = itertools.count()

        def stopping(
            folder: Path, *argv: str, given: str = "", steps: int = steps, begun: Iterator[int] = begun
        ) -> str:
            if next(begun) == steps:
                raise KeyboardInterrupt
            return run(folder, *argv, given=given)

        with monkeypatch.context() as patch:
            patch.setattr(links, "_run", stopping)
            try:
                links.make(limited, site)
            except KeyboardInterrupt:
                assert not links.whole(site)
            else:
                break
        links.make(limited, site)
        assert links.whole(site)
        assert links.carries(site)
        assert links.limited(limited, site) == 10**9
    assert steps >= 5


def test_remove_leaves_other_labs_alone(lab: Lab, tmp_path: Path) -> None:
    namesake = record("links", tmp_path / "elsewhere")
    assert namesake.base_port != lab.base_port
    links.make(namesake, namesake.site("dcn0"))
    assert links.remove(namesake.folder) == 1
    assert links.left(namesake.folder) == ([], [])
    assert all(links.carries(site) for site in lab.sites[1:])


def test_a_lost_link_is_told(lab: Lab) -> None:
    links.remove(lab.folder)
    assert not links.whole(lab.site("dcn0"))
    with pytest.raises(LabError, match=r"dcn0 has lost its link; python -m deploy\.lab heal dcn0 --name links"):
        links.wire(lab, "dcn0")


def test_looking_for_an_obstacle_leaves_nothing(tmp_path: Path) -> None:
    assert links.obstacle(tmp_path) is None
    assert links.left(tmp_path) == ([], [])


@pytest.mark.parametrize("capability", ["sys_admin", "net_admin"])
def test_a_missing_capability_is_an_obstacle(tmp_path: Path, capability: str) -> None:
    program = "import pathlib, sys; from deploy.lab import links; print(links.obstacle(pathlib.Path(sys.argv[1])))"
    argv = ["setpriv", f"--bounding-set=-{capability}", sys.executable, "-c", program, str(tmp_path)]
    shown = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert "Operation not permitted" in shown.stdout
    assert links.left(tmp_path) == ([], [])
