"""How doctor's findings are shown: what needs somebody first, what is well in one line, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgesync.cli import doctor as command
from edgesync.cli.main import cli
from edgesync.clients.daemon_way import Way
from edgesync.config import Settings
from edgesync.plan.diagnosis import Diagnosis, ok, problem, unknown, warning

DEAD = problem("site", "It does not answer.", "Look at it.", subject="dcn0")
QCOW2 = warning("formats", "1 image is not raw.", "Convert it.", details=["id-1 appliance (qcow2)"])
UNSEEN = unknown("staging", "It can't be seen.", "Name it.")
WELL = [ok("log-in", "edgesync in project service."), ok("clock", "They agree.", subject="glance")]
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`edgesync doctor` where these are the findings; its exit code and what it prints."""
    config = tmp_path / "edgesync.yaml"
    config.write_text("cloud: nowhere\nhub: central\npolicies: []\n")

    def run(found: list[Diagnosis], *arguments: str) -> tuple[int, str]:
        async def examine(_: Settings, *, api: str, way: Way) -> tuple[Diagnosis, ...]:
            assert api == "http://127.0.0.1:9780"
            return tuple(found)

        monkeypatch.setattr(command, "examine", examine)
        done = CliRunner().invoke(cli, ["--config", str(config), "doctor", *arguments], standalone_mode=False)
        assert done.exception is None
        return done.return_value, done.stdout

    return run


def test_all_well_is_two_lines(run: Run) -> None:
    code, shown = run(WELL)
    assert code == 0
    assert [line.rstrip() for line in shown.splitlines()] == [
        "ok: 2 checks (log-in, clock); -v shows them",
        "all is well",
    ]


def test_a_problem_fails_and_comes_with_its_remedy(run: Run) -> None:
    code, shown = run([DEAD, QCOW2, UNSEEN, *WELL])
    assert code == 1
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines[:2] == ["problem site dcn0 It does not answer.", "-> Look at it."]
    assert [line.split()[0] for line in lines[:6:2]] == ["problem", "warning", "unknown"]
    assert lines[-1] == "1 problem, 1 warning, 1 not known"
    assert "appliance" not in shown


def test_warnings_and_what_can_t_be_seen_do_not_fail(run: Run) -> None:
    assert run([QCOW2, UNSEEN, *WELL])[0] == 0


def test_verbose_shows_what_is_well_and_every_name(run: Run) -> None:
    _, shown = run([QCOW2, *WELL], "-v")
    assert "id-1 appliance (qcow2)" in shown
    assert "clock glance" in shown
    assert "They agree." in shown


def test_json_is_complete_whatever_is_asked_for(run: Run) -> None:
    code, shown = run([DEAD, *WELL], "-f", "json")
    assert code == 1
    found = json.loads(shown)
    assert found[0] == {
        "grade": "problem",
        "check": "site",
        "found": "It does not answer.",
        "remedy": "Look at it.",
        "subject": "dcn0",
        "details": [],
    }
    assert len(found) == 3


def test_yaml_and_value_can_be_read_by_machines(run: Run) -> None:
    assert "grade: problem" in run([DEAD, *WELL], "-f", "yaml")[1]
    assert run([DEAD, *WELL], "-f", "value")[1].splitlines()[0] == "problem site dcn0 It does not answer."
