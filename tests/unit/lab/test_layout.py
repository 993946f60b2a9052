"""Everything about a lab follows from what is recorded, and the record survives."""

import base64
import dataclasses
from pathlib import Path

import pytest

from deploy.lab import ports
from deploy.lab.errors import LabError
from deploy.lab.layout import MAX_EDGES, Lab, Network, Release, replace, write


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    (tmp_path / "try").mkdir()
    return Lab(name="try", edges=2, base_port=20_000, seed="5eed", home=tmp_path)


def test_record_round_trip(lab: Lab) -> None:
    lab.save()
    assert Lab.load("try", lab.home) == lab


def test_a_lab_remembers_its_glance(lab: Lab) -> None:
    old = dataclasses.replace(lab, glance=Release.DISTRO)
    old.save()
    assert Lab.load("try", lab.home).glance is Release.DISTRO


def test_a_lab_remembers_its_network(lab: Lab) -> None:
    linked = dataclasses.replace(lab, network=Network.NAMESPACES, rate=1000)
    linked.save()
    assert Lab.load("try", lab.home) == linked


def test_a_lab_from_before_there_were_links_is_on_loopback(lab: Lab) -> None:
    write(lab.folder / "state.json", '{"name": "try", "edges": 2, "base_port": 20000, "seed": "5eed"}')
    assert Lab.load("try", lab.home) == lab


def test_changed_settings_are_recorded(lab: Lab) -> None:
    changed = replace(lab, token_lifetime=30, rate=1000)
    assert Lab.load("try", lab.home) == changed
    assert changed.secret("admin") == lab.secret("admin")


def test_unknown_lab_says_how_to_start_it(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"python -m deploy\.lab up --name try"):
        Lab.load("try", tmp_path)


def test_central_comes_first(lab: Lab) -> None:
    assert [site.name for site in lab.sites] == ["central", "dcn0", "dcn1"]
    assert lab.site("dcn1") == lab.sites[2]
    with pytest.raises(LabError, match="central, dcn0, dcn1"):
        lab.site("dcn2")


def test_sites_share_nothing(lab: Lab) -> None:
    many = dataclasses.replace(lab, edges=MAX_EDGES)
    used = [many.keystone_port, many.glance_port, many.api_port]
    for site in many.sites:
        low, high = site.bind_range
        used += [site.port, *range(low, high + 1)]
    assert len(set(used)) == len(used)
    assert set(used) <= set(ports.block(many.base_port))
    assert len({site.fsid for site in many.sites}) == MAX_EDGES + 1
    assert len({site.key("client.glance") for site in many.sites}) == MAX_EDGES + 1


def test_ceph_key_has_the_form_of_one(lab: Lab) -> None:
    raw = base64.b64decode(lab.sites[0].key("client.edgesync"))
    assert len(raw) == 28
    assert raw[:2] == b"\x01\x00"
    assert raw[10:12] == b"\x10\x00"


def test_secrets_differ_between_labs_and_labels(lab: Lab) -> None:
    other = dataclasses.replace(lab, seed="0123")
    assert len({lab.secret("a"), lab.secret("b"), other.secret("a")}) == 3


def test_write_leaves_one_private_file(tmp_path: Path) -> None:
    write(tmp_path / "file", "one")
    write(tmp_path / "file", "two")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "two"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
