"""Digests that a cluster's OSDs compute: librados' checksum operation, which Ceph's Python binding leaves out.

On a connection of its own, for the binding hides the one it has. Everything here blocks, and lets other Python threads
run meanwhile. Tried on 16.2 (XXH64, seed 0):

- The result is that of Python's xxhash over the same bytes.
- What goes beyond an object's end is cut off first; then what is left must be a multiple of the chunk, or all is
  refused with EINVAL. Without a chunk there is one digest for what is left, and none if nothing is.
- An absent object is ENOENT, also one that a snapshot has not got.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_uint64, c_void_p
from dataclasses import dataclass, replace
from typing import Any, Protocol

LIBRARY = "librados.so.2"
XXHASH64 = 1
SEED = bytes(8)
# How librados counts: a number of digests, then the digests.
_COUNT = struct.Struct("<I")
_DIGEST = 8

_READ_OP, _IO, _COMPLETION = c_void_p, c_void_p, c_void_p
# Result and arguments of each function.
_FUNCTIONS: Mapping[str, tuple[Any, list[Any]]] = {
    "rados_create": (c_int, [POINTER(c_void_p), c_char_p]),
    "rados_conf_read_file": (c_int, [c_void_p, c_char_p]),
    "rados_conf_set": (c_int, [c_void_p, c_char_p, c_char_p]),
    "rados_connect": (c_int, [c_void_p]),
    "rados_shutdown": (None, [c_void_p]),
    "rados_ioctx_create": (c_int, [c_void_p, c_char_p, POINTER(_IO)]),
    "rados_ioctx_snap_set_read": (None, [_IO, c_uint64]),
    "rados_ioctx_destroy": (None, [_IO]),
    "rados_create_read_op": (c_void_p, []),
    "rados_release_read_op": (None, [_READ_OP]),
    "rados_read_op_stat": (None, [_READ_OP, POINTER(c_uint64), POINTER(c_int64), POINTER(c_int)]),
    "rados_read_op_checksum": (
        None,
        [_READ_OP, c_int, c_char_p, c_size_t, c_uint64, c_size_t, c_size_t, c_void_p, c_size_t, POINTER(c_int)],
    ),
    "rados_aio_create_completion2": (c_int, [c_void_p, c_void_p, POINTER(_COMPLETION)]),
    "rados_aio_read_op_operate": (c_int, [_READ_OP, _IO, _COMPLETION, c_char_p, c_int]),
    "rados_aio_wait_for_complete": (c_int, [_COMPLETION]),
    "rados_aio_get_return_value": (c_int, [_COMPLETION]),
    "rados_aio_release": (None, [_COMPLETION]),
}


class UnsupportedError(Exception):
    """This librados can't do it, or isn't there."""


class ChecksumError(Exception):
    """What librados answers."""

    def __init__(self, code: int) -> None:
        super().__init__(os.strerror(code))
        self.errno = code


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """Of one object."""

    # One for each whole block from its beginning; None: there is no such object.
    values: array[int] | None
    # It ends inside a block, which has no digest.
    partial: bool = False


class Checksums:
    """One connection to a cluster; threads may share it."""

    def __init__(self, conf: str, user: str, options: Mapping[str, str]) -> None:
        """Connect. ChecksumError when that fails."""
        self._library = _library()
        self._cluster = c_void_p()
        _check(self._library.rados_create(byref(self._cluster), user.encode()))
        try:
            _check(self._library.rados_conf_read_file(self._cluster, conf.encode()))
            for name, value in options.items():
                _check(self._library.rados_conf_set(self._cluster, name.encode(), value.encode()))
            _check(self._library.rados_connect(self._cluster))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._library.rados_shutdown(self._cluster)

    @contextmanager
    def pool(self, name: str, snapshot: int | None) -> Iterator[Pool]:
        """A pool's objects as they are, or as they were at a snapshot of their RBD image."""
        context = c_void_p()
        _check(self._library.rados_ioctx_create(self._cluster, name.encode(), byref(context)))
        try:
            if snapshot is not None:
                self._library.rados_ioctx_snap_set_read(context, snapshot)
            yield Pool(self._library, context)
        finally:
            self._library.rados_ioctx_destroy(context)


class Pool:
    """Asks for the digests of objects, of many at once: a long line costs its delay once."""

    def __init__(self, library: ctypes.CDLL, context: c_void_p) -> None:
        self._library = library
        self._context = context

    def digests(self, objects: Sequence[tuple[str, int]], block: int) -> list[Told]:
        """Of objects by name, and of how many bytes of each, a multiple of the block. ChecksumError."""
        told = self._sums(objects, block)
        # What ends inside a block is refused: ask again for what lies before that.
        cut = [position for position, answer in enumerate(told) if answer is None]
        sizes = self._sizes([objects[position][0] for position in cut])
        shorter = [
            (name, min(length, size // block * block))
            for (name, length), size in zip([objects[position] for position in cut], sizes, strict=True)
        ]
        for position, answer in zip(cut, self._sums(shorter, block), strict=True):
            told[position] = answer and replace(answer, partial=True)
        if None in told:
            # Somebody is writing it.
            raise ChecksumError(errno.EINVAL)
        return [answer for answer in told if answer is not None]

    def _sums(self, objects: Sequence[tuple[str, int]], block: int) -> list[Told | None]:
        sums = [_Sum(name, length, block) for name, length in objects]
        # Of nothing there is none; and to Ceph nothing means all.
        codes = iter(self._done([one for one in sums if one.length]))
        return [one.told(next(codes) if one.length else 0) for one in sums]

    def _sizes(self, names: Sequence[str]) -> list[int]:
        sizes = [_Size(name) for name in names]
        for code in self._done(sizes):
            _check(code)
        return [one.size.value for one in sizes]

    def _done(self, questions: Sequence[_Question]) -> list[int]:
        """Ask them all at once, and wait for the last answer: librados writes into their memory until then."""
        library = self._library
        asked: list[tuple[int | None, c_void_p]] = []
        codes = []
        try:
            for question in questions:
                completion = c_void_p()
                _check(library.rados_aio_create_completion2(None, None, byref(completion)))
                operation = library.rados_create_read_op()
                question.put(library, operation)
                name = question.name.encode()
                code = library.rados_aio_read_op_operate(operation, self._context, completion, name, 0)
                if code < 0:
                    library.rados_release_read_op(operation)
                    library.rados_aio_release(completion)
                    _check(code)
                asked.append((operation, completion))
        finally:
            for operation, completion in asked:
                library.rados_aio_wait_for_complete(completion)
                codes.append(library.rados_aio_get_return_value(completion))
                library.rados_aio_release(completion)
                library.rados_release_read_op(operation)
        return codes


class _Question(Protocol):
    """About one object; the answer comes into its own memory."""

    name: str

    def put(self, library: ctypes.CDLL, operation: int | None) -> None: ...


class _Sum:
    def __init__(self, name: str, length: int, block: int) -> None:
        self.name = name
        self.length = length
        self._block = block
        self._out = ctypes.create_string_buffer(_COUNT.size + _DIGEST * (length // block))
        self._result = c_int()

    def put(self, library: ctypes.CDLL, operation: int | None) -> None:
        given = (XXHASH64, SEED, len(SEED), 0, self.length, self._block, self._out, len(self._out))
        library.rados_read_op_checksum(operation, *given, byref(self._result))

    def told(self, code: int) -> Told | None:
        """None where the object ends inside a block."""
        if code == -errno.ENOENT:
            return Told(values=None)
        if code == -errno.EINVAL:
            return None
        _check(code)
        (count,) = _COUNT.unpack_from(self._out)
        values = array("Q")
        values.frombytes(self._out.raw[_COUNT.size : _COUNT.size + _DIGEST * count])
        return Told(values=values)


class _Size:
    def __init__(self, name: str) -> None:
        self.name = name
        self.size = c_uint64()
        self._changed = c_int64()
        self._result = c_int()

    def put(self, library: ctypes.CDLL, operation: int | None) -> None:
        library.rados_read_op_stat(operation, byref(self.size), byref(self._changed), byref(self._result))


def _check(code: int) -> None:
    if code < 0:
        raise ChecksumError(-code)


def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise UnsupportedError(str(error)) from error
    return library
