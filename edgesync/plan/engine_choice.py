"""Who moves the data of a copy: Glance or edgesync itself, store by store, and why.

The rbd engine copies blocks from the hub's cluster to a site's, and registers the copy by a location. What it can't do
is left to Glance (`auto`), or waits (`rbd`): whoever asked for it by name is not given something else.

The answer depends on little, and is the same for most images: `Engines` keeps it for the plan that it was made for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field

from edgesync.domain.image import Image
from edgesync.domain.job import Engine, EngineChoice
from edgesync.domain.store import StoreId
from edgesync.domain.words import some_of
from edgesync.plan.breaker import explain
from edgesync.plan.demand import Demand
from edgesync.plan.situation import Situation

Stores = frozenset[StoreId]

# Whose blocks are the disk's: any other format is Nova's to convert.
FORMATS = ("raw", "bare")
# What a person may do instead, whatever is in the way.
_OTHERWISE = "ask for another engine: --engine auto lets Glance copy what edgesync can't"
# Glance's types of stores that are in Ceph. It does not tell everybody: "" is any.
KINDS = frozenset({"rbd", ""})


@dataclass(frozen=True, kw_only=True, slots=True)
class Means:
    """What the rbd engine has to work with at present."""

    hub: StoreId
    # Stores whose cluster edgesync has a way to: `ceph:` in the configuration.
    clusters: Stores
    # Why some of these can't be worked with now, as a clause that follows the store's name. Treat as read-only.
    troubles: Mapping[StoreId, str] = field(default_factory=dict)
    # Stores that are not in Ceph, by Glance's word: no time mends that.
    foreign: Stores = frozenset()
    # Whether Glance shows locations, and lets us add them; None: nobody has seen yet.
    locations: bool | None = None
    # False: the operator has turned the engine off.
    enabled: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What the answer depends on, apart from the means."""

    choice: EngineChoice
    stores: Stores
    disk_format: str
    container_format: str
    # The image has a copy at the hub.
    at_hub: bool
    # All or nothing: all of the stores by one engine.
    together: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Hindrance:
    """Why the rbd engine can't make a copy."""

    # One sentence, without its full stop.
    why: str
    # What a person has to do about it; empty: it may pass by itself.
    remedy: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """Stores that go the same way for the same reason."""

    stores: Stores
    # None: they wait.
    engine: Engine | None
    # One sentence, without its full stop.
    why: str


class Engines:
    """The answers of one plan."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._known: dict[Question, tuple[Share, ...]] = {}

    def shares(self, question: Question) -> tuple[Share, ...]:
        """Each of the stores is in exactly one share."""
        known = self._known.get(question)
        if known is None:
            known = self._known[question] = divide(question, self._means)
        return known


def question_of(demand: Demand, image: Image, stores: Stores, hub: StoreId) -> Question:
    """Who is to bring an image to these of a demand's stores."""
    return Question(
        choice=demand.engine,
        stores=stores,
        disk_format=image.disk_format,
        container_format=image.container_format,
        at_hub=hub in image.stores,
        together=not demand.allow_failure,
    )


def means_of(situation: Situation) -> Means:
    """The means as a plan's situation shows them."""
    stores = situation.world.topology.stores
    clusters = frozenset(store for store in stores if situation.budget.settings(store).ceph is not None)
    troubles = {store: trouble for store in clusters if (trouble := _trouble(store, situation))}
    return Means(
        hub=situation.world.topology.hub,
        clusters=clusters,
        troubles=troubles,
        foreign=frozenset(store for store, seen in stores.items() if seen.type not in KINDS),
        locations=situation.locations,
        enabled=situation.rules.rbd,
    )


def divide(question: Question, means: Means) -> tuple[Share, ...]:
    """Which of the stores go by which engine. The hub's own copy is Glance's to make, whatever was asked for."""
    edges = question.stores - {means.hub}
    shares = []
    if to_hub := question.stores - edges:
        why = f"the rbd engine copies from {means.hub}, not to it"
        shares.append(Share(stores=to_hub, engine=Engine.COPY_IMAGE, why=why))
    if question.choice is EngineChoice.COPY_IMAGE and edges:
        shares.append(Share(stores=edges, engine=Engine.COPY_IMAGE, why="copy-image was asked for"))
    elif edges:
        shares += _among_edges(question, edges, means)
    return tuple(shares)


def never(question: Question, means: Means) -> Hindrance | None:
    """What keeps copies waiting for good that are asked for by the rbd engine; None: they go, sooner or later."""
    edges = question.stores - {means.hub}
    if question.choice is not EngineChoice.RBD or not edges:
        return None
    found = (*_hindrances(question, means), *_at_stores(edges, means))
    return next((hindrance for hindrance in found if hindrance.remedy), None)


def _among_edges(question: Question, edges: Stores, means: Means) -> Iterator[Share]:
    instead = Engine.COPY_IMAGE if question.choice is EngineChoice.AUTO else None
    general = next(_hindrances(question, means), None)
    hindered = {general: edges} if general else _at_stores(edges, means)
    if hindered and question.together:
        why = some_of([hindrance.why for hindrance in hindered], between="; ")
        yield Share(stores=edges, engine=instead, why=why + ("" if general else "; all or nothing goes by one engine"))
        return
    for hindrance, stores in hindered.items():
        yield Share(stores=stores, engine=instead, why=hindrance.why)
        edges -= stores
    if edges:
        why = f"the image is raw, and edgesync reaches the clusters of {means.hub} and {some_of(sorted(edges))}"
        yield Share(stores=edges, engine=Engine.RBD, why=why)


def _hindrances(question: Question, means: Means) -> Iterator[Hindrance]:
    """What keeps the rbd engine from copying the image anywhere."""
    hub = means.hub
    if not means.enabled:
        yield Hindrance(
            why="the rbd engine is turned off (rbd.enabled)",
            remedy=f"turn it on in the configuration, rbd.enabled: true; {_OTHERWISE}",
        )
    if (question.disk_format, question.container_format) != FORMATS:
        found = f"{question.disk_format or 'unknown'}/{question.container_format or 'unknown'}"
        yield Hindrance(
            why=f"the image is {found}, and the rbd engine copies {'/'.join(FORMATS)} only",
            remedy=f"{_OTHERWISE}; or convert it, qemu-img convert -O raw, and upload that",
        )
    if not question.at_hub:
        yield Hindrance(why=f"the image is not at {hub}, where the rbd engine reads it")
    if hub not in means.clusters:
        yield _unknown({hub})
    if hub in means.troubles:
        yield _troubled(hub, means)
    if means.locations is None:
        yield Hindrance(
            why="nobody has seen yet whether Glance shows locations, by which a copy of edgesync's own is registered"
        )
    elif not means.locations:
        yield Hindrance(
            why="Glance shows no locations, by which a copy of edgesync's own is registered",
            remedy=f"set show_multiple_locations = true in glance-api.conf; {_OTHERWISE}",
        )


def _at_stores(edges: Stores, means: Means) -> dict[Hindrance, Stores]:
    """Those of the stores that the rbd engine can't copy to, by the reason."""
    found = {}
    if unknown := edges - means.clusters:
        found[_unknown(unknown)] = unknown
    for store in sorted(edges & means.clusters & means.troubles.keys()):
        found[_troubled(store, means)] = frozenset({store})
    return found


def _unknown(stores: Set[StoreId]) -> Hindrance:
    names = sorted(stores)
    return Hindrance(
        why=f"edgesync has no `ceph:` settings for {some_of(names)}",
        remedy=f"add stores.{names[0]}.ceph to the configuration; {_OTHERWISE}",
    )


def _troubled(store: StoreId, means: Means) -> Hindrance:
    remedy = f"name stores in Ceph only; {_OTHERWISE}" if store in means.foreign else ""
    return Hindrance(why=f"{store} {means.troubles[store]}", remedy=remedy)


def _trouble(store: StoreId, situation: Situation) -> str:
    """Why the rbd engine can't work with a store's cluster now, as a clause after its name; empty: it can."""
    kind = situation.world.topology.stores[store].type
    if kind not in KINDS:
        return f"is of Glance's store type {kind}, not rbd"
    site = situation.world.sites.get(store)
    if site is None:
        return ""
    if not situation.admitted(store):
        return explain(site.breaker)
    return f"does not let edgesync work there ({site.refusal.rstrip('.')})" if site.refusal else ""
