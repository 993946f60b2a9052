"""What librados and librbd say becomes an error that names the store and what to do."""

from __future__ import annotations

import errno

import pytest

from edgesync.clients.ceph_refusals import Refusals
from edgesync.domain.store import CephSettings, StoreId
from edgesync.errors import (
    ConflictError,
    EdgesyncError,
    ForbiddenError,
    NotFoundError,
    PermanentError,
    UnreachableError,
)

REFUSALS = Refusals(
    store=StoreId("dcn0"),
    settings=CephSettings(conf="/etc/ceph/dcn0.conf", user="edgesync", pool="golden"),
    deadline=2.5,
)
WHAT = "look at RBD image ID"


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (errno.ENOENT, NotFoundError, "There is no RBD image ID"),
        (errno.ETIMEDOUT, UnreachableError, "did not answer within 2.5 seconds"),
        (errno.ESHUTDOWN, UnreachableError, "connection failed: Ceph's words"),
        (errno.EROFS, UnreachableError, "connection failed"),
        (None, UnreachableError, "connection failed"),
        (errno.EPERM, ForbiddenError, "client.edgesync may not"),
        (errno.EACCES, ForbiddenError, "client.edgesync may not"),
        (errno.EBUSY, ConflictError, "Ceph's words"),
        (errno.EINVAL, PermanentError, "Ceph's words"),
    ],
)
def test_each_number_means_something(code: int | None, kind: type[EdgesyncError], said: str) -> None:
    error = REFUSALS.refused(WHAT, OSError("Ceph's words"), code, name="ID")
    assert type(error) is kind
    assert said in error.message
    assert "store dcn0 (pool golden)" in error.message
    assert error.remedy


def test_what_was_asked_may_have_been_done() -> None:
    asked = REFUSALS.refused(WHAT, OSError(), errno.ETIMEDOUT, name="ID")
    assert isinstance(asked, UnreachableError)
    assert asked.sent


@pytest.mark.parametrize("code", [errno.ETIMEDOUT, errno.ECONNREFUSED, None])
def test_what_never_connected_was_not_done(code: int | None) -> None:
    error = REFUSALS.not_connected(WHAT, OSError("Ceph's words"), code)
    assert isinstance(error, UnreachableError)
    assert not error.sent


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EIO, errno.EACCES, errno.EPERM])
def test_a_key_that_does_not_fit_is_for_people(code: int) -> None:
    error = REFUSALS.not_connected(WHAT, OSError(), code)
    assert isinstance(error, PermanentError)
    assert "ceph auth get client.edgesync" in error.remedy


def test_the_capabilities_are_spelt_out() -> None:
    assert (
        "`ceph auth caps client.edgesync mon 'profile rbd' mgr 'profile rbd' osd 'profile rbd pool=golden'`"
        in REFUSALS.forbidden(WHAT).remedy
    )
