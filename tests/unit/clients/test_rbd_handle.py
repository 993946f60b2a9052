"""What librbd says about an open image becomes an error that says what to do about it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import pytest
import rados
import rbd

from edgesync.clients.ceph_connection import Connection
from edgesync.clients.ceph_refusals import Refusals
from edgesync.clients.rbd_handle import Handle, Which
from edgesync.domain.store import CephSettings, StoreId
from edgesync.errors import EdgesyncError, TransientError, UnreadableError

SIZE, OBJECT = 16 << 20, 8 << 20


class Image:
    """One that refuses to be read or written with the number that a test wants."""

    code = 0
    opened = 0

    def __init__(self, *_: object, **__: object) -> None:
        Image.opened += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        Image.opened -= 1

    def read(self, offset: int, length: int) -> bytes:
        raise rbd.OSError(f"error reading {offset}~{length}", self.code)

    def write(self, data: bytes, offset: int) -> int:
        raise rbd.OSError(f"error writing {offset}~{len(data)}", self.code)

    def aio_write(self, data: bytes, offset: int, done: Callable[..., None]) -> SimpleNamespace:
        assert callable(done)
        assert data
        assert offset >= 0
        return SimpleNamespace(wait_for_complete_and_cb=lambda: None, get_return_value=lambda: -self.code)

    def size(self) -> int:
        return SIZE

    def stat(self) -> dict[str, int]:
        return {"obj_size": OBJECT}

    def features(self) -> int:
        return 61

    def flags(self) -> int:
        return 0

    def overlap(self) -> int:
        return 0

    def data_pool_id(self) -> int:
        return 1

    def block_name_prefix(self) -> str:
        return "rbd_data.1"

    def stripe_count(self) -> int:
        return 1


class Cluster:
    """Whatever is asked of it but for images."""

    made = 0

    def __init__(self, **_: Any) -> None:
        Cluster.made += 1

    def connect(self) -> None: ...

    def open_ioctx(self, _: str) -> Self:
        return self

    def pool_reverse_lookup(self, _: int) -> str:
        return "images"

    def close(self) -> None: ...

    def shutdown(self) -> None: ...


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], Handle]:
    """Opens an image over a connection that all calls share, unless it is given up."""
    monkeypatch.setattr(rados, "Rados", Cluster)
    monkeypatch.setattr(rbd, "Image", Image)
    for kind in (Image, Cluster):
        for name, value in vars(kind).items():
            if isinstance(value, int):
                monkeypatch.setattr(kind, name, value)
    conf = tmp_path / "ceph.conf"
    conf.touch()
    settings = CephSettings(conf=str(conf), user="edgesync")
    refusals = Refusals(store=StoreId("dcn0"), settings=settings, deadline=1.0)
    connection = Connection(settings, refusals)
    return lambda: Handle(connection, refusals, Which(name="ID", write=True))


@pytest.fixture
def handle(opening: Callable[[], Handle]) -> Handle:
    return opening()


def refused(handle: Handle, code: int, ask: Callable[[], object]) -> EdgesyncError:
    Image.code = code
    with pytest.raises(EdgesyncError) as error:
        ask()
    assert "store dcn0 (pool images)" in error.value.message
    assert error.value.remedy
    handle.close()
    assert Image.opened == 0
    return error.value


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EINVAL])
@pytest.mark.parametrize("at_once", [True, False])
def test_an_image_that_was_removed_or_resized_while_it_was_written_is_worth_another_try(
    handle: Handle, code: int, at_once: bool
) -> None:
    ask = (lambda: handle.write_all([(0, b"data")])) if at_once else (lambda: handle.write(0, b"data"))
    error = refused(handle, code, ask)
    assert type(error) is TransientError
    assert "Can't write RBD image ID" in error.message
    assert "removed or resized" in error.message


def test_what_the_disks_have_lost_is_no_fault_of_the_site(handle: Handle, opening: Callable[[], Handle]) -> None:
    error = refused(handle, errno.EIO, lambda: handle.read(5 << 20, 4096))
    assert type(error) is UnreadableError
    assert f"its bytes {5 << 20}-{(5 << 20) + 4095}" in error.message
    assert "edgesync verify" in error.remedy
    # The connection is good.
    opening().close()
    assert Cluster.made == 1
