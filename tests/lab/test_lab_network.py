"""Each edge is a network of its own: it can be cut off, its link can be limited, and what goes over it is counted."""

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import rados

from deploy.lab import ceph, cluster, faults, lifecycle, links, status
from deploy.lab.faults import How
from deploy.lab.layout import HOME, Lab, Network
from tests.lab import conftest

pytestmark = conftest.needs_links

MIB = 2**20
BARE = f"test-bare{conftest.WORKER}"
Run = Callable[..., subprocess.CompletedProcess[str]]


def write(lab: Lab, site: str, size: int, deadline: int) -> None:
    with ceph.pool(lab.site(site), deadline=deadline) as images:
        for number in range(max(size // MIB, 1)):
            images.write_full(f"wire-{number}", bytes(min(size, MIB)))
            images.remove_object(f"wire-{number}")


def daemons(lab: Lab, site: str) -> list[int]:
    found = [cluster.daemon(lab.site(site), kind) for kind in cluster.DAEMONS]
    return [process.pid for process in found if process]


def note(lab: Lab, service: str) -> str:
    (found,) = [seen.note for seen in status.status(lab) if seen.name == service]
    return found


def test_each_edge_is_a_network_of_its_own(lab: Lab) -> None:
    assert lab.network is Network.NAMESPACES
    here = Path("/proc/self/ns/net").readlink()
    networks = {
        site.name: {Path(f"/proc/{pid}/ns/net").readlink() for pid in daemons(lab, site.name)} for site in lab.sites
    }
    assert networks["central"] == {here}
    assert len(networks["dcn0"]) == len(networks["dcn1"]) == 1
    assert len({here} | networks["dcn0"] | networks["dcn1"]) == 3
    assert len({site.address for site in lab.sites}) == 3


def test_a_write_over_a_cut_link_ends_at_its_deadline_or_when_the_link_is_back(breakable: Lab) -> None:
    before = daemons(breakable, "dcn0")
    with ThreadPoolExecutor() as pool, ceph.pool(breakable.site("dcn0"), deadline=120) as images:
        faults.break_site(breakable, "dcn0", How.CUT_NETWORK)
        waiting = pool.submit(images.write_full, "waiting", b"until the link is back")
        with pytest.raises(rados.TimedOut):
            write(breakable, "dcn0", 1, deadline=3)
        assert not waiting.done()
        write(breakable, "central", 1, deadline=3)
        write(breakable, "dcn1", 1, deadline=3)
        assert {seen.name for seen in status.status(breakable) if not seen.healthy} == {
            "dcn0 link",
            "dcn0 mon",
            "dcn0 mgr",
            "dcn0 osd",
        }
        assert note(breakable, "dcn0 link") == "cut"
        faults.heal_site(breakable, "dcn0", How.CUT_NETWORK)
        waiting.result()
        images.remove_object("waiting")
    assert daemons(breakable, "dcn0") == before
    assert status.healthy(breakable)


def sent_again() -> int:
    """Bytes, at most, that TCP has sent again at central: a loaded kernel loses packets on the way to itself."""
    counters = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Tcp:")]
    return int(dict(zip(*counters, strict=True))["RetransSegs"]) * 1514


def test_the_wire_shows_what_clients_send(lab: Lab) -> None:
    before, elsewhere = links.wire(lab, "dcn0"), links.wire(lab, "dcn1")
    repeated = sent_again()
    write(lab, "dcn0", 32 * MIB, deadline=60)
    after = links.wire(lab, "dcn0")
    repeated = sent_again() - repeated
    assert 32 * MIB < after.sent - before.sent < 32 * MIB * 1.02 + repeated
    assert after.received - before.received < MIB
    assert links.wire(lab, "dcn1").sent - elsewhere.sent < MIB


def test_a_limit_is_shown_survives_up_and_is_lifted(lab: Lab, run: Run) -> None:
    name = ("--name", lab.name)
    assert run("limit", "dcn0", "200mbit", *name).returncode == 0
    assert note(lab, "dcn0 link") == "up, limit 200mbit"
    assert note(lab, "dcn1 link") == "up, limit none"
    write(lab, "dcn0", MIB, deadline=60)
    lifecycle.up(lab.name)
    assert "up, limit 200mbit" in run("status", *name).stdout
    lifecycle.up(lab.name, rate=10**9)
    assert note(lab, "dcn0 link") == note(lab, "dcn1 link") == "up, limit 1gbit"
    assert run("up", "--rate", "none", *name).returncode == 0
    assert note(lab, "dcn0 link") == note(lab, "dcn1 link") == "up, limit none"


def test_wire_command_prints_both_ways(lab: Lab, run: Run) -> None:
    name = ("--name", lab.name)
    rows = [line.split() for line in run("wire", *name).stdout.splitlines()]
    assert rows[0] == ["site", "received", "sent"]
    assert [row[0] for row in rows[1:]] == ["dcn0", "dcn1"]
    assert int(rows[1][1]) <= links.wire(lab, "dcn0").received
    assert [line.split()[0] for line in run("wire", "dcn1", *name).stdout.splitlines()] == ["site", "dcn1"]
    refused = run("wire", "central", *name)
    assert refused.returncode == 1
    assert refused.stderr == "error: central is where the links begin: it has no link to cut, limit or read\n"


def test_a_lost_link_is_made_again_and_the_site_started_in_it(breakable: Lab) -> None:
    link = breakable.site("dcn1").link
    assert link is not None
    before = daemons(breakable, "dcn0"), daemons(breakable, "dcn1")
    subprocess.run(["ip", "netns", "delete", link.namespace], check=True)
    subprocess.run(["ip", "link", "delete", link.interface], check=True)
    assert note(breakable, "dcn1 link") == "not there"
    lifecycle.up(breakable.name)
    assert status.healthy(breakable)
    assert daemons(breakable, "dcn0") == before[0]
    assert not set(daemons(breakable, "dcn1")) & set(before[1])


@pytest.fixture
def bare() -> Iterator[str]:
    lifecycle.down(BARE)
    yield BARE
    lifecycle.down(BARE)


def test_without_the_capabilities_the_lab_is_on_loopback_and_says_why(bare: str, run: Run) -> None:
    refused = run("up", "--name", bare, "--sites", "1", "--network", "namespaces", without="sys_admin")
    assert refused.returncode == 1
    assert "error: there can be no links between the sites: loopback only, for network namespaces" in refused.stderr
    assert "Operation not permitted" in refused.stderr
    assert not (HOME / bare / "state.json").exists()
    up = run("up", "--name", bare, "--sites", "1", without="sys_admin")
    assert up.returncode == 0, up.stderr
    assert "no links between the sites to cut, limit or read: loopback only, for network namespaces" in up.stdout
    assert links.left(HOME / bare) == ([], [])
    lab = Lab.load(bare)
    assert status.healthy(lab)
    assert note(lab, "network") == "loopback: no link between the sites to cut, limit or read"
    for command in (("break", "dcn0", "--how", "cut-network"), ("limit", "dcn0", "1mbit"), ("wire",)):
        refused = run(*command, "--name", bare)
        assert refused.returncode == 1
        assert refused.stderr.startswith("error: dcn0 is on loopback, as its whole lab is")
    refused = run("up", "--name", bare, "--rate", "1mbit")
    assert refused.stderr.startswith(
        f"error: lab '{bare}' is on loopback and has no links to limit; take it down first"
    )
    refused = run("up", "--name", bare, "--network", "namespaces")
    assert refused.stderr.startswith(
        f"error: lab '{bare}' has loopback between its sites, not namespaces; take it down"
    )
