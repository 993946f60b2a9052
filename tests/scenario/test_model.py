"""Random worlds, policies, faults, rivals and crashes: what edgesync promises holds after every step.

`EDGESYNC_SOAK=1` plays for hours, with new stories each time.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from edgesync.domain.policy import Match, Policy
from edgesync.domain.store import StoreId
from tests.scenario.model import Model, Seed, Step
from tests.scenario.stage import MEMORY, set_stage

SOAK = bool(os.environ.get("EDGESYNC_SOAK"))
# Independent parts of the whole, so that they can run side by side.
PARTS = 4
EXAMPLES = 2000 if SOAK else 12
STORES = ("central", "dcn0", "dcn1")
EDGES = STORES[1:]


@dataclass(frozen=True, kw_only=True)
class Beginning:
    seeds: tuple[Seed, ...]
    policy: Policy
    ceph: tuple[str, ...]
    document: dict[str, Any]


numbers = st.integers(0, 3)
stores = st.sampled_from(STORES)
edges = st.sampled_from(EDGES)
some_edges = st.sampled_from([(), ("dcn0",), ("dcn1",), EDGES])
flags = st.booleans()
operations = st.sampled_from(
    ["images", "image", "tasks", "copy_image", "import_image", "create_image", "delete_from_store", "delete_image"]
)


def step(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(name), st.tuples(*arguments))


steps = st.lists(
    st.one_of(
        step("wait", st.sampled_from([0.4, 3.0, 20.0, 120.0, 1200.0, 4000.0])),
        step("wait", st.sampled_from([0.4, 3.0, 20.0, 120.0])),
        step("die", st.integers(1, 12)),
        step("cut", stores),
        step("cut_off", edges),
        step("heal", stores),
        step("refuse_writes", edges),
        step("take_writes", edges),
        step("crash_worker"),
        step("stop_glance"),
        step("start_glance"),
        step("lose_answer", operations),
        step("reset", operations),
        step("rival_copies", numbers, st.sampled_from([("dcn0",), ("dcn1",), EDGES]), flags),
        step("rival_deletes_copy", numbers, stores),
        step("delete_image", numbers),
        step("deactivate", numbers),
        step("reactivate", numbers),
        step("leave_orphan", numbers, edges, st.sampled_from([0, 5]), flags),
        step("leave_stranger", stores),
        step("tamper", numbers, stores, st.sampled_from(["remove", "unprotect", "unsnap", "resize"])),
        step("clone", numbers, edges),
        step("copy", numbers, some_edges, flags, flags),
        step("remove", numbers, edges, flags),
        step("import_uri", some_edges, flags, st.sampled_from([200, 200, 404])),
        step("import_file", some_edges, flags, flags),
        step("verify", numbers, some_edges, flags, flags),
        step("cancel", numbers),
        step("pause", numbers, edges, flags),
        step("resume"),
    ),
    min_size=1,
    max_size=14,
)


@st.composite
def beginnings(draw: st.DrawFn) -> Beginning:
    seeds = st.builds(
        Seed,
        mebibytes=st.sampled_from([16, 100, 3000]),
        golden=flags,
        stores=st.sampled_from([("central",), ("central",), ("central", "dcn0"), STORES, ("dcn1",)]),
    )
    policy = Policy(
        name="golden",
        match=Match(tags=frozenset({"golden"})),
        stores=None,
        allow_failure=draw(flags),
        waves=draw(st.sampled_from([(), (), (frozenset({StoreId("dcn0")}),)])),
    )
    document = {
        "limits": {
            "imports": draw(st.sampled_from([1, 4])),
            "split_imports": draw(st.sampled_from([True, True, False])),
        },
        "audit": {"repair": draw(st.sampled_from(["fix", "fix", "report"]))},
        "probes": {"every": "30s"},
        "polling": {"active": "2s"},
    }
    return Beginning(
        seeds=tuple(draw(st.lists(seeds, min_size=1, max_size=3))),
        policy=policy,
        ceph=draw(st.sampled_from([STORES, STORES, (), ("central", "dcn0")])),
        document=document,
    )


async def play(beginning: Beginning, story: Sequence[Step]) -> None:
    ids = random.Random(0)
    with (
        tempfile.TemporaryDirectory(dir=MEMORY) as folder,
        patch("uuid.uuid4", lambda: uuid.UUID(int=ids.getrandbits(128), version=4)),
    ):
        async with set_stage(
            Path(folder), policies=(beginning.policy,), stores=STORES, ceph=beginning.ceph, **beginning.document
        ) as stage:
            await Model(stage, beginning.seeds).play(story)


@pytest.mark.timeout(0 if SOAK else 300)
@pytest.mark.parametrize("part", range(PARTS))
def test_what_is_promised_holds_whatever_happens(part: int) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink) if SOAK else (Phase.generate,),
        print_blob=False,
    )
    @given(beginnings(), steps)
    def holds(beginning: Beginning, story: Sequence[Step]) -> None:
        asyncio.run(play(beginning, story))

    (holds if SOAK else seed(part)(holds))()
