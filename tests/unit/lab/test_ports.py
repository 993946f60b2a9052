"""Labs get blocks of ports that nobody else has."""

import socket
import sys
from pathlib import Path

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


def test_addresses_of_blocks_and_edges_don_t_meet() -> None:
    last = ports.FIRST + (ports.BLOCKS - 1) * ports.BLOCK
    assert ports.ends(ports.FIRST, 0) == ("198.19.0.1", "198.19.0.2")
    assert ports.ends(ports.FIRST, 7) == ("198.19.0.29", "198.19.0.30")
    assert ports.ends(ports.FIRST + ports.BLOCK, 0) == ("198.19.1.1", "198.19.1.2")
    assert ports.ends(last, 7) == ("198.19.59.29", "198.19.59.30")


def test_blocks_whose_addresses_are_in_use_are_known(tmp_path: Path) -> None:
    def row(interface: str, address: str) -> str:
        return f"{interface}\t{int.from_bytes(socket.inet_aton(address), sys.byteorder):08X}\t00000000\t0001\n"

    routes = tmp_path / "route"
    routes.write_text("Iface\tDestination\tGateway\n")
    assert ports.linked(routes) == set()
    with routes.open("a") as table:
        table.write(row("eth0", "192.0.2.0") + row("dcn0-5eed", "198.19.3.2") + row("dcn1-5eed", "198.19.3.6"))
    assert ports.linked(routes) == {ports.FIRST + 3 * ports.BLOCK}
