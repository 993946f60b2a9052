"""Why an import does not get on, from what was found."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesync.domain.copy import StallCause
from edgesync.domain.image import ImportTask, TaskId, TaskStatus
from edgesync.domain.store import StoreId
from edgesync.plan.stall import Evidence, diagnose
from tests.builders import CENTRAL, NOW

TASK = ImportTask(id=TaskId("t"), status=TaskStatus.PROCESSING, message="", stores=(), created_at=NOW, updated_at=NOW)
FRESH = replace(TASK, updated_at=NOW + timedelta(minutes=9))
FOUND = Evidence(
    now=NOW + timedelta(minutes=10), since=NOW, store=StoreId("dcn0"), hub=CENTRAL, written=64 << 20, task=FRESH
)


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        (replace(FOUND, glance_trouble="connection refused"), StallCause.WORKER_GONE),
        (replace(FOUND, store_trouble="no answer", hub_trouble="no answer"), StallCause.STORE_DOWN),
        (replace(FOUND, hub_trouble="no answer"), StallCause.HUB_DOWN),
        (replace(FOUND, task=replace(TASK, status=TaskStatus.PENDING), written=None), StallCause.QUEUED),
        (replace(FOUND, task=replace(FRESH, status=TaskStatus.SUCCESS), written=None), StallCause.WORKER_GONE),
        (replace(FOUND, written=None), StallCause.STAGING),
        (replace(FOUND, written=None, task=TASK), StallCause.STAGING),
        (FOUND, StallCause.WRITING),
        (replace(FOUND, task=None), StallCause.WRITING),
        (replace(FOUND, task=TASK), StallCause.WORKER_GONE),
        (replace(FOUND, task=TASK, written=None, looked=False), StallCause.WORKER_GONE),
        (replace(FOUND, written=None, looked=False), StallCause.WRITING),
    ],
)
def test_the_cause_is_what_was_found(found: Evidence, cause: StallCause) -> None:
    assert diagnose(found).cause is cause


def test_what_happens_next_names_the_time_at_which_the_lock_can_be_taken() -> None:
    stall = diagnose(replace(FOUND, store_trouble="no answer", task=TASK))
    assert stall.why == "dcn0 does not answer: no answer"
    assert stall.next == (
        "Glance goes on by itself once dcn0 is back; otherwise its lock can be taken at 13:00 UTC, "
        "and edgesync starts the copy again then"
    )
    assert (stall.since, stall.store) == (NOW, "dcn0")


def test_an_import_of_new_data_is_given_up_instead() -> None:
    assert "gives the import up" in diagnose(replace(FOUND, task=TASK, repeated=False)).next


texts = st.sampled_from(["", "no answer"])
tasks = st.none() | st.builds(
    replace,
    st.just(TASK),
    status=st.sampled_from(TaskStatus),
    updated_at=st.integers(0, 600).map(lambda seconds: NOW + timedelta(seconds=seconds)),
)


@given(
    st.builds(
        replace,
        st.just(FOUND),
        glance_trouble=texts,
        store_trouble=texts,
        hub_trouble=texts,
        written=st.none() | st.integers(0, 1 << 40),
        looked=st.booleans(),
        task=tasks,
        repeated=st.booleans(),
    )
)
def test_there_is_always_a_cause_and_a_prospect(found: Evidence) -> None:
    stall = diagnose(found)
    assert stall.why
    assert stall.next
    assert (stall.cause is StallCause.STORE_DOWN) == bool(found.store_trouble and not found.glance_trouble)
