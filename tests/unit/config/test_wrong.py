"""Wrong configurations, and exactly what is said of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgesync.config import load
from edgesync.errors import ConfigError

KEYS = (
    "api, audit, breaker, cloud, clouds_file, edge_origin, glance, hub, journal, limits, log, policies, polling, "
    "probes, rbd, region, retry, scrub, stall, stores, uplink, upload"
)


def read_cases() -> dict[str, tuple[str, list[str]]]:
    """`#### name`, then a configuration, then after `=> ` each of its problems."""
    cases: dict[str, tuple[str, list[str]]] = {}
    for block in re.split(r"^#### ", Path(__file__).with_name("wrong.txt").read_text(), flags=re.MULTILINE)[1:]:
        name, *lines = block.rstrip("\n").split("\n")
        text = "".join(f"{line}\n" for line in lines if not line.startswith("=> "))
        cases[name] = text, [line.removeprefix("=> ") for line in lines if line.startswith("=> ")]
    return cases


CASES = read_cases()


def problems_of(file: Path, content: str | bytes) -> list[str]:
    """What `load` says of a file, without the name of the file."""
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    return [problem.removeprefix(f"{file}:") for problem in caught.value.problems]


@pytest.mark.parametrize("name", list(CASES))
def test_says_what_is_wrong_and_where(tmp_path: Path, name: str) -> None:
    text, problems = CASES[name]
    assert problems
    assert problems_of(tmp_path / "edgesync.yaml", text) == problems


def test_says_everything_at_once_from_top_to_bottom(tmp_path: Path) -> None:
    text = """\
cloud: 7
hubb: central
policies:
  - match: {owner: 12:30, max_size: 1 GiB, min_size: 2 GiB}
    stores: [dcn0]
  - name: golden
    match: {}
    stores: dcn0
log:
  level: loud
  level: info
"""
    assert problems_of(tmp_path / "edgesync.yaml", text) == [
        '1:1: cloud: expected text, found 7, which YAML reads as a number; write it in quotes: "7"',
        "1:1: hub: missing; write the id of the central site's store, like `hub: central`",
        f"2:1: hubb: unknown key; did you mean hub? known here: {KEYS}",
        "4:5: policies[0].name: missing; write a word of your choice, by which commands and logs name the policy",
        "4:13: policies[0].match.owner: YAML reads 12:30 as a number, but not the one it looks like; "
        'write it in quotes, "12:30", or as a plain decimal number',
        "4:27: policies[0].match.max_size: expected at least min_size, 2 GiB; found 1 GiB, so that no image fits",
        "7:5: policies[1].match: no condition is left; write `match: all` if every image is meant",
        '8:5: policies[1].stores: expected `all`, or a list of store ids like [dcn0, dcn1]; found "dcn0"',
        '10:3: log.level: expected one of debug, info, warning, error, found "loud"',
        "11:3: log.level: written twice, first in line 10; remove one",
    ]


def test_shows_the_first_hundred_problems(tmp_path: Path) -> None:
    file = tmp_path / "edgesync.yaml"
    file.write_text("hub: central\n" + "".join(f"key{number}: 1\n" for number in range(150)))
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert len(caught.value.problems) == 100
    assert caught.value.remedy.startswith("These are the first 100 of 150 problems.")


def test_never_repeats_the_journals_password(tmp_path: Path) -> None:
    for url in ("mysql://u:hunter2@h/d", "postgresql+asyncpg://u:hunter2@h:x/d", "postgresql+asyncpg://u:hunter2@@h/d"):
        (said,) = problems_of(tmp_path / "edgesync.yaml", f"hub: central\njournal: {{url: '{url}'}}\n")
        assert "hunter2" not in said


def test_not_utf8(tmp_path: Path) -> None:
    said = problems_of(tmp_path / "edgesync.yaml", b"hub: central\nregion: M\xe1laga\n")
    assert said == ["2:10: not UTF-8; save the file in that encoding"]


def test_control_character(tmp_path: Path) -> None:
    said = problems_of(tmp_path / "edgesync.yaml", "cloud: a\nhub: central\0\n")
    assert said == ["2:13: not valid YAML: special characters are not allowed; remove the control character"]


def test_too_large(tmp_path: Path) -> None:
    said = problems_of(tmp_path / "edgesync.yaml", "hub: central\n" + "#" * 2**20)
    assert said == ["1:1: larger than 1 MiB, which no configuration is; name another file"]


def test_too_many_values(tmp_path: Path) -> None:
    said = problems_of(tmp_path / "edgesync.yaml", "hub: [" + "a, " * 30_000 + "]\n")
    assert said == ["1:59998: not valid YAML: more than 20000 values"]


def test_number_out_of_range_in_a_directive(tmp_path: Path) -> None:
    said = problems_of(tmp_path / "edgesync.yaml", "%YAML " + "9" * 5000 + "\n---\nhub: central\n")
    assert said == ["1:7: not valid YAML: a number in an escape or a directive is out of range"]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.yaml", {})
    assert caught.value.problems == (f"{tmp_path}/none.yaml: can't be read: No such file or directory",)
    assert "EDGESYNC_CONFIG" in caught.value.remedy


def test_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read: Is a directory"):
        load(tmp_path, {})


def test_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not by its mode: the tests may run as root.
    def refuse(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigError, match="can't be read: Permission denied") as caught:
        load(tmp_path / "edgesync.yaml", {})
    assert caught.value.remedy == "Let the user that runs edgesync read it."
