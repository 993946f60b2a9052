"""Who wants a copy, and by which engine."""

from __future__ import annotations

from collections.abc import Iterable

from edgesync.domain.image import Image
from edgesync.domain.job import EngineChoice, Job, Origin, Work
from edgesync.domain.policy import Policy
from edgesync.domain.store import StoreId
from edgesync.plan.demand import engine_wished
from tests.builders import image, job, policy, situation

ONE = image(stores=("central", "dcn0"))
AUTO, RBD, COPY_IMAGE = EngineChoice.AUTO, EngineChoice.RBD, EngineChoice.COPY_IMAGE


def wished(of: Image = ONE, *, policies: Iterable[Policy] = (), jobs: Iterable[Job] = ()) -> EngineChoice:
    case = situation(of, policies=policies, jobs=jobs)
    topology = case.world.topology
    return engine_wished(of.id, StoreId("dcn0"), ledger=case.ledger, wants=case.wants, topology=topology)


def test_whoever_wants_a_copy_most_says_by_which_engine_it_is_made() -> None:
    low = policy("low", priority=1, engine=RBD)
    high = policy("high", priority=2, engine=COPY_IMAGE)
    elsewhere = policy("elsewhere", priority=9, stores=["dcn1"], engine=RBD)
    assert wished(policies=[low, high, elsewhere]) is COPY_IMAGE
    assert wished(policies=[low, elsewhere]) is RBD
    persons = job(ONE, "dcn0", engine=RBD)
    assert wished(policies=[high], jobs=[persons]) is RBD
    opened = job(ONE, "dcn0", engine=RBD, origin=Origin.POLICY)
    assert wished(policies=[high], jobs=[opened]) is COPY_IMAGE


def test_where_nobody_wants_it_or_only_something_else_edgesync_chooses() -> None:
    assert wished() is AUTO
    assert wished(jobs=[job(ONE, "dcn1", engine=RBD), job(ONE, "dcn0", engine=RBD, work=Work.VERIFY)]) is AUTO
    assert wished(jobs=[job(image("other"), "dcn0", engine=RBD)]) is AUTO
