"""A look at all images of a pool: what is odd about one of them hides no other, and is named."""

from __future__ import annotations

import pytest

from edgesync.clients import block_layers
from edgesync.clients.block_layers import MOST_SILENT, layers_of
from edgesync.clients.ceph_calls import Calls
from edgesync.clients.ceph_refusals import Refusals
from edgesync.clients.rbd_blocks import RbdBlocks
from edgesync.domain.layers import Layer, PoolLayers
from edgesync.domain.store import CephSettings, StoreId
from edgesync.errors import EdgesyncError, PermanentError, TransientError, UnreachableError

SETTINGS = CephSettings(conf="/etc/ceph/dcn0.conf", user="edgesync")
REFUSALS = Refusals(store=StoreId("dcn0"), settings=SETTINGS, deadline=60.0)


class Pool(RbdBlocks):
    """Images a, b and so on, each with one disk."""

    def __init__(self, names: str) -> None:
        super().__init__(SETTINGS, REFUSALS)
        self.listed = list(names)
        self.disks = dict.fromkeys(names, 1)
        # What becomes of a look, by pool/name.
        self.trouble: dict[str, EdgesyncError] = {}
        # Gone from the list, too, by the time that it is read again.
        self.removed: set[str] = set()
        self.looks: list[str] = []

    def names(self) -> list[str]:
        listed = self.listed
        self.listed = [name for name in listed if name not in self.removed]
        return listed

    def layer(self, spec: str, *, clones: bool, measured: bool) -> Layer:
        assert measured
        self.looks.append(spec)
        if error := self.trouble.get(spec):
            raise error
        pool, _, name = spec.partition("/")
        disks = range(self.disks.get(name, 0)) if pool == "images" else ()
        above = tuple(f"vms/{name}{number}" for number in disks)
        return Layer(pool=pool, name=name, id=f"rbd-{name}", size=1, clones=above if clones else None)


async def look(pool: Pool) -> PoolLayers:
    calls: Calls[RbdBlocks] = Calls("rbd-dcn0", REFUSALS, lambda: pool, limit=12)
    try:
        return await layers_of(calls, measured=True)
    finally:
        await calls.close()


def specs(found: PoolLayers) -> list[str]:
    return [layer.spec for layer in found.layers]


@pytest.mark.parametrize("error", [PermanentError("odd"), TransientError("odd"), UnreachableError("odd")])
async def test_an_odd_image_is_named_and_the_others_are_told(error: EdgesyncError) -> None:
    pool = Pool("abc")
    pool.trouble = {"images/c": error, "vms/a0": error}
    found = await look(pool)
    assert specs(found) == ["images/a", "images/b", "vms/b0"]
    assert found.unseen == {"images/c": "odd", "vms/a0": "odd"}


async def test_what_can_not_be_opened_is_told_from_what_has_gone() -> None:
    pool = Pool("abc")
    pool.trouble = {f"images/{name}": REFUSALS.no_image(name) for name in "bc"}
    pool.trouble["vms/a0"] = REFUSALS.no_image("a0")
    pool.removed = {"b"}
    found = await look(pool)
    assert specs(found) == ["images/a"]
    assert found.unseen == {"images/c": REFUSALS.no_image("c").message}


async def test_when_nothing_answers_it_is_the_site() -> None:
    pool = Pool("abcdefgh")
    pool.trouble = {f"images/{name}": UnreachableError("silent") for name in "defgh"}
    assert len(pool.trouble) > MOST_SILENT
    with pytest.raises(UnreachableError, match="silent"):
        await look(pool)
    alone = Pool("a")
    alone.trouble = {"images/a": UnreachableError("silent")}
    with pytest.raises(UnreachableError, match="silent"):
        await look(alone)


async def test_pools_that_the_key_may_not_look_into_hide_clones_only() -> None:
    pool = Pool("a")
    pool.trouble = {"images/a": REFUSALS.forbidden("look")}
    found = await look(pool)
    assert (specs(found), [*found.unseen]) == ([], ["images/a"])
    assert pool.looks == ["images/a", "images/a"]


async def test_disks_beyond_the_most_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_layers, "MOST_DISKS", 3)
    pool = Pool("ab")
    pool.disks = {"a": 4, "b": 3}
    found = await look(pool)
    assert len(found.layers) == 2 + 3
    assert found.left_out == 4
