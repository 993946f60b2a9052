"""A repair of what is not damaged any more leaves other defects to be mended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock, Mock

import pytest

from edgesync.domain.image import ImageId
from edgesync.domain.job import CopyResult
from edgesync.domain.site import Defect
from edgesync.domain.store import StoreId
from edgesync.execute.rbd.renewing import NOT_LISTED, RenewalEngine

HUB, DCN0 = StoreId("central"), StoreId("dcn0")
IMAGE = ImageId("00000000-0000-4000-8000-000000000001")


@pytest.mark.parametrize(
    ("seen", "listed", "result", "forgotten"),
    [
        (Defect.UNPROTECTED, True, CopyResult.REPAIRED, False),
        (None, True, CopyResult.REPAIRED, True),
        (None, False, CopyResult.FAILED, False),
    ],
)
async def test_only_what_is_sound_is_no_longer_a_finding(
    seen: Defect | None, listed: bool, result: CopyResult, forgotten: bool
) -> None:
    finding = SimpleNamespace(defect=seen, detail="its snapshot is not protected", obstacle="") if seen else None
    bench: Any = Mock(hub=HUB, clusters={DCN0: AsyncMock(names=AsyncMock(return_value=()))})
    bench.sites.re_examine = AsyncMock(return_value=finding)
    bench.look = AsyncMock(return_value=SimpleNamespace(stores=frozenset({HUB, DCN0} if listed else {HUB})))
    bench.recorder.finished = AsyncMock()
    engine = RenewalEngine(bench, {HUB: AsyncMock(), DCN0: AsyncMock()}, Mock(), Mock(), Mock())
    await engine.begin(cast("Any", SimpleNamespace(image=IMAGE, stores=(DCN0,))))
    (entry,) = bench.recorder.finished.await_args.args[1].results
    assert entry.result is result
    assert listed or entry.reason == NOT_LISTED
    assert bench.sites.mended.called is forgotten
