"""The tree of what lies on what."""

from __future__ import annotations

from dataclasses import replace

from edgesync.domain.blocks import Flattening
from edgesync.domain.image import ImageId
from edgesync.domain.layers import SiteLayers
from edgesync.domain.store import StoreId
from edgesync.expose.layers import Kind, LayerView, site_layers_view
from tests.builders import image
from tests.unit.plan.test_chains import A, B, C, layer

NAMED = {ImageId(A): replace(image("rhel"), id=ImageId(A))}


def site(*layers: object, **more: object) -> SiteLayers:
    return SiteLayers(store=StoreId("dcn0"), pool="images", layers=layers, **more)  # type: ignore[arg-type]


def shown(nodes: list[LayerView]) -> list[tuple[int, Kind, str]]:
    found = []
    for node in nodes:
        found.append((node.depth, node.kind, node.name))
        found += shown(node.layers)
    return found


def test_each_is_under_what_it_lies_on() -> None:
    base = layer(A, clones=(f"images/{B}",))
    middle = layer(B, base, clones=(f"images/{C}", "vms/unseen"))
    top = layer(C, middle, clones=("vms/disk",))
    disk = layer("disk", top, pool="vms")
    task = Flattening(image=C, running=True, progress=0.5)
    view = site_layers_view(site(disk, top, middle, base, layer("lone"), flattening=(task,)), NAMED)
    assert shown(view.layers) == [
        (0, Kind.IMAGE, A),
        (1, Kind.IMAGE, B),
        (2, Kind.IMAGE, C),
        (3, Kind.DISK, "disk"),
        (2, Kind.DISK, "unseen"),
        (0, Kind.IMAGE, "lone"),
    ]
    assert view.layers[0].image_name == "rhel"
    (second,) = view.layers[0].layers
    assert second.layers[0].flattening is not None
    assert (second.layers[0].flattening.progress, second.flattening) == (0.5, None)
    # What was not looked at has no sizes.
    assert (second.layers[1].size, second.layers[1].own) == (None, None)


def test_what_lies_in_the_trash_is_shown_under_what_needs_it() -> None:
    gone = layer(A)
    survivor = layer(B, gone, clones=(f"images/{A}",))
    again = replace(layer(A, survivor), id="rbd-new")
    view = site_layers_view(site(survivor, again), NAMED)
    assert shown(view.layers) == [(0, Kind.TRASH, A), (1, Kind.IMAGE, B), (2, Kind.IMAGE, A)]


def test_a_disk_flattened_meanwhile_is_no_longer_on_top() -> None:
    base, disk = layer(A, clones=("vms/disk",)), layer("disk", pool="vms")
    assert shown(site_layers_view(site(base, disk), {}).layers) == [(0, Kind.IMAGE, A), (0, Kind.DISK, "disk")]


def test_what_can_not_be_looked_at_is_shown_where_it_is_known_to_be() -> None:
    base = layer(A, clones=(f"images/{B}",))
    top = replace(layer(C), parent=f"images/{B}", parent_id="rbd-of-b")
    unseen = {f"images/{B}": "no answer", "images/odd": "no header"}
    view = site_layers_view(site(base, top, unseen=unseen, left_out=7), NAMED)
    assert shown(view.layers) == [(0, Kind.IMAGE, A), (1, Kind.IMAGE, B), (2, Kind.IMAGE, C), (0, Kind.IMAGE, "odd")]
    (hidden,) = view.layers[0].layers
    assert (hidden.size, hidden.complete) == (None, False)
    assert (view.unseen, view.left_out) == (unseen, 7)


def test_clones_that_may_not_be_seen_are_not_denied() -> None:
    (node,) = site_layers_view(site(layer(A, clones=None)), {}).layers
    assert not node.complete
