"""`layers`, `clone`, `flatten`: what they say, and how they end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from edgesync.cli import layers
from edgesync.daemon.layers import Place
from edgesync.domain.blocks import KIB, MIB, Flattening
from edgesync.domain.store import StoreId
from tests.builders import image, situation
from tests.fakes.blocks import FakeBlocks
from tests.fakes.cluster import FakeCluster
from tests.fakes.glance import VirtualClock
from tests.unit.cli.running import Terminal, terminal
from tests.unit.expose.pictures import picture_of

SIZE = 16 * MIB


@dataclass(frozen=True, kw_only=True)
class Shell:
    """At dcn0, image upper is layered on image base."""

    terminal: Terminal
    blocks: FakeBlocks


@pytest.fixture
async def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shell]:
    blocks = FakeBlocks(FakeCluster("dcn0", clock=VirtualClock()))
    blocks.put("id-base", b"x" * SIZE)
    await blocks.clone("id-base", "id-upper", object_size=64 * KIB)
    await blocks.seal("id-upper")
    seen = [image(name, stores=("central", "dcn0"), size=SIZE) for name in ("base", "upper")]
    places = {StoreId("dcn0"): Place(pool="images", cluster=blocks.cluster, blocks=blocks)}
    monkeypatch.setattr(layers, "REFRESH", 0.01)
    async with terminal(picture_of(situation(*seen)), capsys, monkeypatch, places=places) as ready:
        yield Shell(terminal=ready, blocks=blocks)


async def test_what_lies_on_what_is_shown_as_a_tree(shell: Shell) -> None:
    await shell.blocks.disk("id-upper", "vms", "disk", object_size=8 * MIB)
    shell.blocks.flattening["id-upper"] = Flattening(image="id-upper", running=True, progress=0.4)
    said = await shell.terminal.edgesync("layers", "--store", "dcn0")
    assert said.code == 0
    lines = [" ".join(line.split()) for line in said.out.splitlines()]
    assert lines == [
        "dcn0",
        "Image Name Depth Size Own Shared Remark",
        "id-base base 0 16.0 MiB 16.0 MiB 0 B",
        "id-upper upper 1 16.0 MiB 0 B 16.0 MiB being flattened: 40%",
        "vms/disk 2 16.0 MiB 0 B 16.0 MiB disk",
    ]
    assert "    vms/disk" in said.out
    bare = await shell.terminal.edgesync("layers", "-f", "value")
    assert bare.out.splitlines() == ["dcn0 images/id-base 0", "dcn0 images/id-upper 1", "dcn0 vms/disk 2"]
    (site,) = json.loads((await shell.terminal.edgesync("layers", "-f", "json")).out)
    assert site["layers"][0]["layers"][0]["shared"] == SIZE


async def test_a_site_that_can_not_tell_says_why(shell: Shell) -> None:
    shell.blocks.cluster.permitted = False
    said = await shell.terminal.edgesync("layers")
    assert said.code == 0
    assert "client.edgesync may not" in said.out
    unknown = await shell.terminal.edgesync("layers", "--store", "dcn7")
    assert (unknown.code, "no store dcn7" in unknown.err) == (1, True)


async def test_a_disk_is_cloned(shell: Shell) -> None:
    order = ("clone", "upper", "--store", "dcn0", "--pool", "vms", "--name", "rescue")
    said = await shell.terminal.edgesync(*order)
    assert (said.code, said.out) == (0, "vms/rescue at dcn0 is a clone of the copy of upper\n")
    again = await shell.terminal.edgesync(*order)
    assert again.code == 1
    assert "rescue already" in again.err
    assert "rbd info vms/rescue" in again.err
    wrong = await shell.terminal.edgesync(*order[:-1], "a/b")
    assert (wrong.code, "name" in wrong.err) == (1, True)


async def test_a_copy_is_flattened_while_one_waits(shell: Shell) -> None:
    begun = await shell.terminal.edgesync("flatten", "upper", "--store", "dcn0")
    assert begun.code == 0
    assert "still on top of images/id-base: it waits for its turn" in begun.out
    late = await shell.terminal.edgesync("flatten", "upper", "--store", "dcn0", "--wait", "--timeout", "0.05")
    assert late.code == 1
    assert "time is up" in late.err

    async def done(method: str, _image: str) -> None:
        if method == "tasks":
            shell.blocks.flatten_now()

    shell.blocks.before = done
    said = await shell.terminal.edgesync("flatten", "upper", "--store", "dcn0", "--wait", "-f", "json")
    assert said.code == 0
    assert json.loads(said.out)["done"]
    nothing = await shell.terminal.edgesync("flatten", "base", "--store", "dcn0")
    assert (nothing.code, "nothing to flatten" in nothing.err) == (1, True)


async def test_a_flattening_that_somebody_stopped_is_not_waited_for(shell: Shell) -> None:
    looks = 0

    async def stopped(method: str, _image: str) -> None:
        nonlocal looks
        looks += method == "tasks"
        if looks > 3:
            shell.blocks.flattening.clear()

    shell.blocks.before = stopped
    said = await shell.terminal.edgesync("flatten", "upper", "--store", "dcn0", "--wait")
    assert said.code == 1
    assert "nobody flattens it" in said.err
