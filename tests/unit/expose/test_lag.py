"""How long wanted copies have been missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from edgesync.domain.image import Image
from edgesync.domain.policy import Match, Policy
from edgesync.domain.store import StoreId
from edgesync.expose.lag import Lags
from edgesync.expose.picture import Picture
from edgesync.plan.wants import Wants, update_wants
from tests.builders import NOW, failure, image, job, policy, situation
from tests.unit.expose.exposition import metrics_on, text
from tests.unit.expose.pictures import picture_of

GOLDEN = policy()
HOUR = timedelta(hours=1)
DCN0, DCN1 = StoreId("dcn0"), StoreId("dcn1")


class Time:
    """Pictures of a world that goes on, with wants kept up as the daemon does."""

    def __init__(self, *policies: Policy, **first: Any) -> None:
        self.lags = Lags()
        self.policies = policies or (GOLDEN,)
        self._wants = Wants()
        self._first = first

    def at(self, now: datetime, *images: Image) -> Picture:
        case = situation(*images, **self._first)
        world = replace(case.world, at=now)
        self._wants = update_wants(self._wants, world, self.policies)
        picture = picture_of(replace(case, world=world, wants=self._wants))
        self.lags.update(picture)
        return picture


def test_a_copy_is_missing_from_when_it_was_first_seen_to_be_until_it_is_there() -> None:
    time = Time()
    time.at(NOW, image())
    time.at(NOW + HOUR, image(stores=("central", "dcn1")))
    assert time.lags.since(image().id, DCN0) == NOW
    assert time.lags.since(image().id, DCN1) is None
    time.at(NOW + 2 * HOUR, image(stores=("central", "dcn0", "dcn1")))
    assert time.lags.since(image().id, DCN0) is None


def test_one_that_was_there_is_missing_since_it_went() -> None:
    time = Time()
    time.at(NOW, image(stores=("central", "dcn0")))
    time.at(NOW + HOUR, image())
    assert time.lags.since(image().id, DCN1) == NOW
    assert time.lags.since(image().id, DCN0) == NOW + HOUR


def test_an_image_without_data_misses_nothing() -> None:
    time = Time()
    time.at(NOW, image(status="queued", stores=()))
    assert time.lags.since(image().id, DCN0) is None
    time.at(NOW + HOUR, image())
    assert time.lags.since(image().id, DCN0) == NOW + HOUR


def test_a_daemon_that_starts_knows_what_its_journal_knows() -> None:
    asked, failed, fresh = image("asked"), image("failed"), image("fresh")
    earlier = replace(job(asked, "dcn0"), created_at=NOW - 3 * HOUR)
    time = Time(jobs=[earlier], failures=[failure(failed, "dcn1")])
    time.at(NOW, asked, failed, fresh)
    assert time.lags.since(asked.id, DCN0) == NOW - 3 * HOUR
    assert time.lags.since(asked.id, DCN1) == NOW
    assert time.lags.since(failed.id, DCN1) == NOW - timedelta(seconds=30)
    assert time.lags.since(fresh.id, DCN0) == NOW


def test_the_oldest_copy_counts_for_each_policy_that_wants_it() -> None:
    special = policy("special", match=Match(name="b*"), stores=["dcn0"], priority=5)
    time = Time(GOLDEN, special)
    time.at(NOW, image("a"))
    picture = time.at(NOW + HOUR, image("a"), image("b"))
    assert time.lags.oldest(picture) == {
        (DCN0, "golden"): NOW,
        (DCN1, "golden"): NOW,
        # The hub is among its stores, and has it.
        (DCN0, "special"): NOW + HOUR,
    }


def test_lag_and_objective_are_shown_for_every_store_of_a_policy() -> None:
    time = Time(policy(lag_objective=timedelta(minutes=30)))
    metrics = metrics_on(time.at(NOW, image(stores=("central", "dcn1"))))
    later = time.at(NOW + HOUR, image(stores=("central", "dcn1")), image("other", tags=()))
    metrics._showcase.picture = later
    metrics.seen(later)
    assert {
        'edgesync_lag_seconds{policy="golden",store="central"} 0.0',
        'edgesync_lag_seconds{policy="golden",store="dcn0"} 3600.0',
        'edgesync_lag_seconds{policy="golden",store="dcn1"} 0.0',
        'edgesync_lag_objective_seconds{policy="golden"} 1800.0',
    } <= set(text(metrics).splitlines())
