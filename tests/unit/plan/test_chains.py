"""What lies at a site, told apart: Glance's copies, which chains are made of, and all the rest, which stays."""

from __future__ import annotations

from edgesync.domain.layers import Layer
from edgesync.domain.store import StoreId
from edgesync.plan.chains import UNSEEN, bases_of, members_of, on_top
from edgesync.plan.lineage import Lineage

A, B, C = (f"00000000-0000-4000-8000-00000000000{digit}" for digit in "abc")


def layer(name: str, below: Layer | None = None, *, pool: str = "images", clones: tuple[str, ...] | None = ()) -> Layer:
    return Layer(
        pool=pool,
        name=name,
        id=f"rbd-{pool}-{name}",
        size=1,
        parent=below.spec if below else None,
        parent_id=below.id if below else None,
        clones=clones,
    )


def test_copies_are_members_and_what_else_is_on_top_keeps_them() -> None:
    base = layer(A, clones=(f"images/{B}", "vms/disk", f"images/{C}.edgesync"))
    on_it = layer(B, base)
    half, disk = layer(f"{C}.edgesync", base), layer("disk", base, pool="vms")
    members = members_of([base, on_it, half, disk], pool="images", copies={A, B, C}, leaving={A})
    assert [(member.name, member.parent, member.wanted) for member in members] == [(A, None, False), (B, A, True)]
    assert members[0].clones == ("vms/disk", f"images/{C}.edgesync")
    assert bases_of(members) == {A}
    # Neither the disk nor the half copy is ever flattened, so flattening the other would free nobody.
    assert Lineage(members).steps(3) == []


def test_clones_that_nobody_may_see_keep_the_copy() -> None:
    (member,) = members_of([layer(A, clones=None)], pool="images", copies={A}, leaving={A})
    assert member.clones == (UNSEEN,)
    assert A in Lineage([member]).kept()


def test_a_base_in_the_trash_is_not_the_one_that_came_back_under_its_name() -> None:
    gone = layer(A)
    survivor = layer(B, gone)
    again = Layer(pool="images", name=A, id="rbd-new", size=1, parent=survivor.spec, parent_id=survivor.id, clones=())
    members = members_of([survivor, again], pool="images", copies={A, B}, leaving=set())
    assert [(member.name, member.parent) for member in members] == [(B, f"images/{A}"), (A, B)]
    assert Lineage(members).depth(A) == 2


def test_people_are_told_what_to_do_about_each_kind() -> None:
    needing = on_top([f"images/{B}", "vms/one", "vms/two"])
    assert needing.told == f"1 copy layered on it ({B}) and 2 disks cloned from it (vms/one, vms/two)"
    assert needing.remedy(StoreId("dcn0")) == (
        f"make the copies independent: edgesync flatten {B} --store dcn0 --wait; "
        "delete the disks, or flatten them: rbd flatten vms/one"
    )
    assert on_top([f"images/{B}.edgesync"]).disks == (f"images/{B}.edgesync",)
