"""Labs get blocks of ports that nobody else has."""

import socket

import pytest

from deploy.lab import ports
from deploy.lab.errors import LabError


def everything_free(_port: int) -> bool:
    return True


def test_first_lab_gets_the_first_block() -> None:
    assert ports.allot([], free=everything_free) == ports.FIRST


def test_blocks_of_other_labs_are_passed_over() -> None:
    taken = {ports.FIRST, ports.FIRST + ports.BLOCK}
    assert ports.allot(taken, free=everything_free) == ports.FIRST + 2 * ports.BLOCK


def test_block_in_which_somebody_listens_is_passed_over() -> None:
    busy = ports.FIRST + ports.BLOCK - 1
    assert ports.allot([], free=lambda port: port != busy) == ports.FIRST + ports.BLOCK


def test_search_wraps_around() -> None:
    last = ports.FIRST + (ports.BLOCKS - 1) * ports.BLOCK
    assert ports.allot([], start=ports.BLOCKS - 1, free=everything_free) == last
    assert ports.allot([last], start=ports.BLOCKS - 1, free=everything_free) == ports.FIRST


def test_no_block_left_is_said() -> None:
    with pytest.raises(LabError, match="take a lab down"):
        ports.allot([], free=lambda _port: False)


def test_blocks_stay_below_the_ephemeral_ports() -> None:
    assert ports.FIRST + ports.BLOCKS * ports.BLOCK <= 32_768


def test_listening_port_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not ports.is_free(port)
    assert ports.is_free(port)
