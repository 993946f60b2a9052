"""Rates are read and shown as people write them, and links are named so that labs side by side never meet."""

import dataclasses
import os
import subprocess
from pathlib import Path

import pytest

from deploy.lab import links, ports
from deploy.lab.errors import LabError
from deploy.lab.layout import MAX_EDGES, Lab, Network, link_key


@pytest.fixture
def lab() -> Lab:
    return Lab(
        name="try", edges=MAX_EDGES, base_port=20_200, seed="5eed", network=Network.NAMESPACES, home=Path("/somewhere")
    )


@pytest.mark.parametrize(
    ("text", "rate"), [("200mbit", 200 * 10**6), ("1.5gbit", 15 * 10**8), ("64kbit", 64_000), ("none", 0)]
)
def test_rate_round_trip(text: str, rate: int) -> None:
    assert links.parse(text) == rate
    assert links.shown(rate) == text


@pytest.mark.parametrize("text", ["", "200", "mbit", "-1mbit", "0mbit", "200 mbit", "200mbps", "unlimited"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(LabError, match="write it like 500kbit, 200mbit"):
        links.parse(text)


def test_links_share_nothing(lab: Lab) -> None:
    elsewhere = dataclasses.replace(lab, home=Path("/elsewhere"), base_port=lab.base_port + ports.BLOCK)
    found = [site.link for some in (lab, elsewhere) for site in some.sites if site.link]
    assert len(found) == 2 * MAX_EDGES
    assert len({link.namespace for link in found}) == len(found)
    assert len({link.interface for link in found}) == len(found)
    assert len({link.edge for link in found} | {link.central for link in found}) == 2 * len(found)


def test_names_tell_whose_they_are(lab: Lab) -> None:
    for site in lab.sites[1:]:
        assert site.link is not None
        assert len(site.link.interface) <= 15
        assert site.link.namespace == f"edgesync-try-{site.name}-{link_key(lab.folder)}"
        assert site.link.interface.endswith(link_key(lab.folder))


def test_central_has_no_link(lab: Lab) -> None:
    assert lab.sites[0].link is None
    assert lab.sites[0].address == "127.0.0.1"
    with pytest.raises(LabError, match="central is where the links begin"):
        links.wire(lab, "central")


def test_loopback_has_no_links(lab: Lab) -> None:
    bare = dataclasses.replace(lab, network=Network.LOOPBACK)
    assert {site.address for site in bare.sites} == {"127.0.0.1"}
    assert links.inside(bare.site("dcn0"), ["ceph-osd"]) == ["ceph-osd"]
    with pytest.raises(LabError, match="dcn0 is on loopback, as its whole lab is"):
        links.cut(bare, bare.site("dcn0"))


def test_programs_of_an_edge_run_in_its_namespace(lab: Lab) -> None:
    link = lab.site("dcn0").link
    assert link is not None
    assert links.inside(lab.site("dcn0"), ["ceph-osd", "-f"]) == [
        "ip",
        "netns",
        "exec",
        link.namespace,
        "ceph-osd",
        "-f",
    ]
    assert links.inside(lab.site("central"), ["ceph-osd"]) == ["ceph-osd"]


class Shell:
    """Notes the commands that would be run, and fails at one of them."""

    def __init__(self, patch: pytest.MonkeyPatch, *, fails_at: int | None = None) -> None:
        self.lines: list[str] = []
        self._fails_at = fails_at
        patch.setattr(links, "_run", self._run)

    def _run(self, folder: Path, *argv: str, given: str = "") -> str:
        assert folder.name == "try"
        self.lines.append(" ".join([*argv, *given.splitlines()]))
        if len(self.lines) - 1 == self._fails_at:
            raise LabError(f"{argv[0]}: not here")
        return ""

    def count(self, part: str) -> int:
        return sum(line.count(part) for line in self.lines)


def test_an_obstacle_to_any_step_of_a_link_is_told(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Shell(monkeypatch)
    links.make(dataclasses.replace(lab, rate=10**9), lab.site("dcn0"))
    needed = len(whole.lines)
    tried = Shell(monkeypatch)
    assert links.obstacle(lab.folder) is None
    assert len(tried.lines) == needed + 1, "and a program is run in it"
    assert tried.count("tbf rate") == whole.count("tbf rate") == 2
    assert tried.count("addrgenmode none") == whole.count("addrgenmode none")
    for step in range(len(tried.lines)):
        Shell(monkeypatch, fails_at=step)
        assert "not here" in (links.obstacle(lab.folder) or "")


def test_a_kernel_without_ipv6_can_have_links(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for ipv6, ends in ((tmp_path, 2), (tmp_path / "none", 0)):
        monkeypatch.setattr(links, "_IPV6", ipv6)
        shell = Shell(monkeypatch)
        links.make(lab, lab.site("dcn0"))
        assert shell.count("addrgenmode none") == ends
        assert shell.count("link set lo up") == 1


def test_a_command_that_does_not_end_is_an_obstacle(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(argv: list[str], *, timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(argv, timeout)

    monkeypatch.setattr(subprocess, "run", hangs)
    assert "ip netns add" in (links.obstacle(lab.folder) or "")
    assert "no end after 30 s" in (links.obstacle(lab.folder) or "")


def test_names_of_a_link_that_is_tried_fit_the_kernel(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 2**22 - 1)
    shell = Shell(monkeypatch)
    assert links.obstacle(lab.folder) is None
    (made,) = [line for line in shell.lines if "type veth" in line]
    interface = made.split()[3]
    assert len(interface) <= 15
    assert interface.endswith(f"-{link_key(lab.folder)}")
