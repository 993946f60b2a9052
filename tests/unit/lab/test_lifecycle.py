"""What `up` does with the limit of the links."""

import dataclasses
from pathlib import Path

import pytest

from deploy.lab import cluster, faults, lifecycle, links
from deploy.lab.layout import Lab, Network, Site

RATE = 10**9


@pytest.fixture
def lab() -> Lab:
    return Lab(name="try", edges=1, base_port=20_200, seed="5eed", network=Network.NAMESPACES, home=Path("/somewhere"))


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("asked", [True, False])
def test_a_limit_is_put_on_a_link_once(lab: Lab, monkeypatch: pytest.MonkeyPatch, whole: bool, asked: bool) -> None:
    """On one that is there as far as it was asked for now; one that is made has it whoever asked for it."""
    limits: list[int] = []

    def limit(folder: Path, _: object, rate: int) -> None:
        assert folder.name == "try"
        limits.append(rate)

    def ensure(lab: Lab, site: Site) -> None:
        cluster.ensure_link(lab, site)

    monkeypatch.setattr(links, "_run", lambda *_, **__: "")
    monkeypatch.setattr(links, "_limit", limit)
    monkeypatch.setattr(links, "whole", lambda _: whole)
    for module, name in ((cluster, "ensure"), (faults, "repair")):
        monkeypatch.setattr(module, name, ensure)
    limited = dataclasses.replace(lab, rate=RATE)
    lifecycle._site(limited, limited.site("dcn0"), RATE if asked else None)
    assert limits == ([RATE] if asked or not whole else [])
