"""A store's pool in memory. It does what `tests/contract/cluster` proves of a real Ceph cluster too."""

from tests.fakes.cluster.pool import GIB, FakeCluster, PoolImage, Trashed

__all__ = ["GIB", "FakeCluster", "PoolImage", "Trashed"]
