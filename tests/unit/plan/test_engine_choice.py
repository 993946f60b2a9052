"""Which stores go by which engine."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesync.domain.job import Engine, EngineChoice
from edgesync.domain.site import BreakerState, Site
from edgesync.domain.store import CephSettings, Store, StoreId, StoreSettings, Topology
from edgesync.plan.engine_choice import Engines, Means, Question, Share, divide, means_of, never
from tests.builders import CENTRAL, site, situation, store_ids, topology

ALL = store_ids("central", "dcn0", "dcn1")
MEANS = Means(hub=CENTRAL, clusters=ALL, locations=True)


def question(
    *stores: str,
    choice: EngineChoice = EngineChoice.AUTO,
    disk_format: str = "raw",
    container_format: str = "bare",
    at_hub: bool = True,
    together: bool = False,
) -> Question:
    return Question(
        choice=choice,
        stores=store_ids(*(stores or ("dcn0", "dcn1"))),
        disk_format=disk_format,
        container_format=container_format,
        at_hub=at_hub,
        together=together,
    )


def only(shares: tuple[Share, ...]) -> Share:
    (share,) = shares
    return share


def test_rbd_is_taken_where_it_can_be() -> None:
    share = only(divide(question(), MEANS))
    assert share.engine is Engine.RBD
    assert share.stores == store_ids("dcn0", "dcn1")
    assert share.why == "the image is raw, and edgesync reaches the clusters of central and dcn0, dcn1"


IN_THE_WAY = [
    (question(disk_format="qcow2"), MEANS, "the image is qcow2/bare, and the rbd engine copies raw/bare only"),
    (question(container_format="ovf"), MEANS, "the image is raw/ovf, and the rbd engine copies raw/bare only"),
    (question(container_format=""), MEANS, "the image is raw/unknown, and the rbd engine copies raw/bare only"),
    (question(at_hub=False), MEANS, "the image is not at central, where the rbd engine reads it"),
    (question(), replace(MEANS, clusters=ALL - {CENTRAL}), "edgesync has no `ceph:` settings for central"),
    (question(), replace(MEANS, troubles={CENTRAL: "does not answer"}), "central does not answer"),
    (question(), replace(MEANS, clusters=store_ids("central")), "edgesync has no `ceph:` settings for dcn0, dcn1"),
    (question(), replace(MEANS, locations=False), "Glance shows no locations"),
    (question(), replace(MEANS, locations=None), "nobody has seen yet whether Glance shows locations"),
]


@pytest.mark.parametrize(("asked", "means", "why"), IN_THE_WAY)
def test_where_it_can_not_be_auto_falls_back_and_rbd_waits(asked: Question, means: Means, why: str) -> None:
    fallen_back = only(divide(asked, means))
    assert fallen_back.engine is Engine.COPY_IMAGE
    assert fallen_back.why.startswith(why)
    waiting = only(divide(replace(asked, choice=EngineChoice.RBD), means))
    assert waiting == replace(fallen_back, engine=None)


@pytest.mark.parametrize(("asked", "means", "why"), IN_THE_WAY)
def test_what_time_does_not_mend_comes_with_a_remedy(asked: Question, means: Means, why: str) -> None:
    hindrance = never(replace(asked, choice=EngineChoice.RBD), means)
    passes = ("the image is not at", "central does not answer", "nobody has seen yet")
    assert (hindrance is None) == why.startswith(passes)
    if hindrance is not None:
        assert hindrance.why.startswith(why)
        assert hindrance.remedy
    assert never(asked, means) is None
    assert never(replace(asked, choice=EngineChoice.RBD, stores=store_ids("central")), means) is None


def test_what_lasts_is_told_even_where_something_passing_is_in_the_way_too() -> None:
    asked = question(choice=EngineChoice.RBD, at_hub=False)
    hindrance = never(asked, replace(MEANS, clusters=store_ids("central", "dcn0")))
    assert hindrance is not None
    assert hindrance.why == "edgesync has no `ceph:` settings for dcn1"


@pytest.mark.parametrize(("asked", "means", "_why"), IN_THE_WAY)
def test_copy_image_is_never_overruled(asked: Question, means: Means, _why: str) -> None:
    for any_means in (means, MEANS):
        share = only(divide(replace(asked, choice=EngineChoice.COPY_IMAGE), any_means))
        assert (share.engine, share.why) == (Engine.COPY_IMAGE, "copy-image was asked for")


def test_each_store_goes_its_own_way() -> None:
    means = replace(
        MEANS, clusters=store_ids("central", "dcn1", "dcn2"), troubles={StoreId("dcn2"): "is full of holes"}
    )
    shares = divide(question("dcn0", "dcn1", "dcn2"), means)
    assert [(share.engine, share.stores, share.why) for share in shares] == [
        (Engine.COPY_IMAGE, store_ids("dcn0"), "edgesync has no `ceph:` settings for dcn0"),
        (Engine.COPY_IMAGE, store_ids("dcn2"), "dcn2 is full of holes"),
        (Engine.RBD, store_ids("dcn1"), "the image is raw, and edgesync reaches the clusters of central and dcn1"),
    ]


@pytest.mark.parametrize(("choice", "engine"), [(EngineChoice.AUTO, Engine.COPY_IMAGE), (EngineChoice.RBD, None)])
def test_all_or_nothing_goes_by_one_engine(choice: EngineChoice, engine: Engine | None) -> None:
    means = replace(MEANS, troubles={StoreId("dcn0"): "does not answer"})
    share = only(divide(question(choice=choice, together=True), means))
    assert (share.engine, share.stores) == (engine, store_ids("dcn0", "dcn1"))
    assert share.why == "dcn0 does not answer; all or nothing goes by one engine"


@pytest.mark.parametrize("choice", EngineChoice)
def test_the_way_to_the_hub_is_always_glances(choice: EngineChoice) -> None:
    """An image from an edge would else wait for ever: there is nothing at the hub to copy from."""
    share = only(divide(question("central", choice=choice, at_hub=False), MEANS))
    assert (share.engine, share.why) == (Engine.COPY_IMAGE, "the rbd engine copies from central, not to it")


NAMES = [StoreId(name) for name in ("central", "dcn0", "dcn1", "dcn2", "dcn3")]
SOME = st.frozensets(st.sampled_from(NAMES))
QUESTIONS = st.builds(
    Question,
    choice=st.sampled_from(EngineChoice),
    stores=SOME,
    disk_format=st.sampled_from(("raw", "raw", "qcow2", "")),
    container_format=st.sampled_from(("bare", "bare", "docker")),
    at_hub=st.booleans(),
    together=st.booleans(),
)
ANY_MEANS = st.builds(
    Means,
    hub=st.just(CENTRAL),
    clusters=SOME.map(lambda stores: stores | {CENTRAL}),
    troubles=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(("is down", "is odd")), max_size=2),
    locations=st.sampled_from((True, True, False, None)),
)


@given(QUESTIONS, ANY_MEANS)
@settings(max_examples=500)
def test_every_store_goes_one_way_and_rbd_only_where_it_can(asked: Question, means: Means) -> None:
    shares = divide(asked, means)
    assert sorted(store for share in shares for store in share.stores) == sorted(asked.stores)
    assert all(share.why and share.stores for share in shares)
    for share in shares:
        edges = share.stores - {CENTRAL}
        if share.engine is Engine.RBD:
            assert asked.choice is not EngineChoice.COPY_IMAGE
            assert share.stores | {CENTRAL} <= means.clusters - means.troubles.keys()
            assert (asked.disk_format, asked.container_format) == ("raw", "bare")
            assert asked.at_hub
            assert means.locations
        elif share.engine is Engine.COPY_IMAGE:
            assert not edges or asked.choice is not EngineChoice.RBD
        else:
            assert asked.choice is EngineChoice.RBD
    if asked.together:
        assert len({share.engine for share in shares if share.stores - {CENTRAL}}) <= 1


@given(QUESTIONS, ANY_MEANS)
def test_the_same_question_is_answered_once(asked: Question, means: Means) -> None:
    engines = Engines(means)
    assert engines.shares(asked) == divide(asked, means)
    assert engines.shares(replace(asked)) is engines.shares(asked)


def test_the_means_are_what_the_situation_shows() -> None:
    ceph = StoreSettings(ceph=CephSettings(conf="ceph.conf", user="glance"))
    names = ("central", "dcn0", "dcn1", "dcn2")
    stores = {**topology(*names[1:], "dcn3").stores, StoreId("dcn2"): Store(id=StoreId("dcn2"), type="file")}
    case = situation(
        stores=Topology(hub=CENTRAL, stores=stores),
        settings=dict.fromkeys(names, ceph),
        sites=[site("dcn0", BreakerState.OPEN), Site(store=StoreId("dcn1"), refusal="Ceph refuses edgesync's key.")],
    )
    means = means_of(case)
    assert means.clusters == store_ids(*names)
    assert means.troubles.keys() == store_ids("dcn0", "dcn1", "dcn2")
    assert means.troubles[StoreId("dcn0")].startswith("gets no copies since")
    assert means.troubles[StoreId("dcn1")] == "does not let edgesync work there (Ceph refuses edgesync's key)"
    assert means.troubles[StoreId("dcn2")] == "is of Glance's store type file, not rbd"
    assert means.foreign == store_ids("dcn2")
    assert (means.hub, means.locations) == (CENTRAL, None)
