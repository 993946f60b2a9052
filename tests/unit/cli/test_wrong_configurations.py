"""A wrong configuration starts nothing: exit code 2, and every mistake with its place and remedy."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgesync.cli.context import Context
from edgesync.errors import ConfigError
from tests.unit.cli.running import Said, typed

GOOD = """\
cloud: nowhere
hub: central
policies:
  - name: golden
    match: {tags: [golden]}
    stores: all
journal: {url: "sqlite+aiosqlite:///FOLDER/journal.db"}
api: {listen: "127.0.0.1:1"}
"""
WRONG = {
    "unknown key": ("hub: central", "hub: central\nhubb: x", r":3:1: hubb: unknown key; did you mean hub"),
    "no hub": ("hub: central\n", "", r":1:1: hub: missing"),
    "duplicate key": ("hub: central", "hub: central\nhub: other", r":3:1: hub: written twice"),
    "not YAML": ("hub: central", "hub: [central", r":\d+:\d+: "),
    "wrong type": ("stores: all", "stores: dcn0", r":6:5: policies\[0\]\.stores: expected"),
    "empty match": ("{tags: [golden]}", "{}", r":5:5: policies\[0\]\.match: .*match: all"),
    "two policies of one name": (
        "    stores: all\n",
        "    stores: all\n  - {name: golden, match: all, stores: all}\n",
        r":7:6: policies\[1\]\.name: .*another",
    ),
    "a boolean that was meant as text": (
        "{tags: [golden]}",
        "{properties: {hw_secure: yes}}",
        r":5:26: policies\[0\]\.match\.properties\.hw_secure: .*quotes",
    ),
    "listening to everybody": ('"127.0.0.1:1"', '"0.0.0.0:9780"', r":8:7: api\.listen: expected a loopback address"),
    "sizes that exclude each other": (
        "{tags: [golden]}",
        "{min_size: 2 GiB, max_size: 1 GiB}",
        r":5:\d+: policies\[0\]\.match\.max_size: expected at least",
    ),
    "a duration that is a time of day": ("hub: central", "hub: central\nretry: {first: 12:30}", r":3:9: retry\.first:"),
    "a journal nowhere": ("sqlite+aiosqlite:///FOLDER/journal.db", "mysql://x/y", r":7:11: journal\.url: expected"),
}


def test_a_running_daemon_is_found_by_the_address_in_a_file_with_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "edgesync.yaml"
    file.write_text(GOOD.replace("hub: central", "hubb: x"))
    asked = Context(config=file, api=None)
    assert asked.way()[0] == "http://127.0.0.1:1"
    file.write_text("[")
    with pytest.raises(ConfigError) as refusal:
        asked.way()
    assert "A running daemon can be asked all the same: edgesync --api ADDRESS" in refusal.value.remedy


Start = Callable[[Path], Said]


@pytest.fixture
def start(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Start:
    return lambda file: typed(capsys, monkeypatch, "--config", str(file), "run")


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_configuration_starts_nothing(start: Start, case: str, tmp_path: Path) -> None:
    before, after, expected = WRONG[case]
    text = GOOD.replace(before, after)
    assert text != GOOD
    file = tmp_path / "edgesync.yaml"
    file.write_text(text.replace("FOLDER", str(tmp_path)))
    said = start(file)
    assert said.code == 2, said.err
    assert re.search(rf"^{re.escape(str(file))}{expected}", said.err, re.MULTILINE), said.err
    assert "nothing was started" in said.err
    assert not (tmp_path / "journal.db").exists()


def test_a_missing_file_is_named_with_the_way_out(start: Start, tmp_path: Path) -> None:
    said = start(tmp_path / "nothing.yaml")
    assert said.code == 2
    assert "nothing.yaml" in said.err
    assert "->" in said.err


def test_a_missing_log_in_is_named_with_the_way_out(tmp_path: Path) -> None:
    file = tmp_path / "edgesync.yaml"
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    file.write_text(GOOD.replace("FOLDER", str(tmp_path)).replace("127.0.0.1:1", f"127.0.0.1:{free}"))
    # This one gets far enough to set things up, as a process of its own.
    command = [sys.executable, "-m", "edgesync", "--config", str(file), "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode in {1, 2}
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr
