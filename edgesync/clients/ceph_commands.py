"""Commands to a cluster's monitors and its manager, as `ceph` gives them. Everything here blocks."""

from __future__ import annotations

import json
from typing import Any

import rados


def ask_monitors(cluster: rados.Rados, prefix: str, **arguments: str) -> Any:
    """The answer; `rados.OSError` with the errno of a refusal."""
    return _answer(prefix, cluster.mon_command(_command(prefix, arguments), b""))


def ask_manager(cluster: rados.Rados, prefix: str, **arguments: str) -> Any:
    """The same of a manager's module. Only on a connection without `rados_mon_op_timeout` (see `rbd_manager`)."""
    return _answer(prefix, cluster.mgr_command(_command(prefix, arguments), b""))


def _command(prefix: str, arguments: dict[str, str]) -> str:
    return json.dumps({"prefix": prefix, "format": "json", **arguments})


def _answer(prefix: str, answer: tuple[int, bytes | str, str]) -> Any:
    code, out, said = answer
    if code:
        raise rados.OSError(f"{prefix}: {said}", abs(code))
    return json.loads(out)
