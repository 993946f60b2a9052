"""The contents of a store's pool in memory. It does what `tests/contract/blocks` proves of a real Ceph cluster too."""

from tests.fakes.blocks.contents import Contents, made_up
from tests.fakes.blocks.pool import FakeBlocks, Sent

__all__ = ["Contents", "FakeBlocks", "Sent", "made_up"]
