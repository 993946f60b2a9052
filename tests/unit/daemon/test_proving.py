"""Which copies that lack only their snapshot may be proven whole."""

from __future__ import annotations

from array import array
from typing import cast

from edgesync.daemon.proving import provable
from edgesync.domain.blocks import MIB, SMALLEST_BLOCK, Digests, KnownDigests
from edgesync.domain.ports import Journal
from edgesync.domain.site import Defect
from edgesync.domain.store import StoreId
from tests.builders import finding, image, site, world
from tests.unit.daemon.paper import PaperJournal

DCN0, DCN1 = StoreId("dcn0"), StoreId("dcn1")
DIGESTS = Digests(size=MIB, block=SMALLEST_BLOCK, values=array("Q", [7]) * 16)
KNOWN = KnownDigests(hash_algo="sha512", hash_value="00", digests=DIGESTS)


async def test_however_many_copies_lack_their_snapshot_those_with_digests_are_found() -> None:
    images = [image(f"{number:03}", stores=("central", "dcn0", "dcn1")) for number in range(600)]
    lacking = [finding(entry, "dcn0", Defect.NO_SNAPSHOT) for entry in images]
    other = site("dcn1", findings=[finding(images[-1], "dcn1", Defect.UNPROTECTED)])
    seen = world(*images, sites=[site("dcn0", findings=lacking), other])
    paper = PaperJournal()
    for entry in images[-2:]:
        await paper.keep_digests(entry.id, KNOWN)
    journal = cast("Journal", paper)
    assert await provable(journal, seen, frozenset()) == {(entry.id, DCN0) for entry in images[-2:]}
    tried = frozenset({(images[-1].id, DCN0)})
    assert await provable(journal, seen, tried) == {(images[-2].id, DCN0)}
