"""Flags beat the environment, which beats the file; complaints name the variable or the flag."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from edgesync.config import DEFAULT_PATH, load
from edgesync.config.overrides import RESERVED
from edgesync.domain.bandwidth import Bandwidth, TimedRate
from edgesync.domain.policy import Repair
from edgesync.errors import ConfigError

URL = "postgresql+asyncpg://edgesync@db/edgesync"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "edgesync.yaml"
    path.write_text("hub: central\nlimits: {imports: 2}\n")
    return path


def problems(file: Path, environ: Mapping[str, str], flags: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(file, environ, flags or {})
    return list(caught.value.problems)


def test_the_environment_beats_the_file(file: Path) -> None:
    environ = {
        "EDGESYNC_LIMITS__IMPORTS": "9",
        "EDGESYNC_JOURNAL__URL": URL,
        "EDGESYNC_GLANCE__TIMEOUT": "45",
        "EDGESYNC_REGION": "12:30",
        "EDGESYNC_EDGE_ORIGIN": "False",
        "EDGESYNC_LIMITS__MAX_POOL_FILL": "50%",
        "EDGESYNC_AUDIT__REPAIR": "report",
        "EDGESYNC_UPLINK__BANDWIDTH": "100 Mbit/s",
        "EDGESYNC_SCRUB__EVERY": "off",
        "EDGESYNC_RBD__MAX_DEPTH": "1",
        "EDGESYNC_RBD__MEMORY": "64 MiB",
        "HOME": "/root",
    }
    settings = load(file, environ)
    assert (settings.limits.imports, settings.journal.url, settings.glance.timeout) == (9, URL, 45.0)
    assert (settings.edge_origin, settings.limits.max_pool_fill) == (False, 0.5)
    assert settings.audit.repair is Repair.REPORT
    assert settings.uplink == Bandwidth(rates=(TimedRate(rate=12_500_000),))
    assert (settings.scrub.every, settings.rbd.max_depth, settings.rbd.memory) == (None, 1, 64 << 20)
    # No YAML here: a variable is text.
    assert settings.region == "12:30"
    assert settings.where("limits", "imports") == "environment EDGESYNC_LIMITS__IMPORTS"
    assert settings.where("journal", "url") == "environment EDGESYNC_JOURNAL__URL"


def test_flags_beat_the_environment(file: Path) -> None:
    settings = load(file, {"EDGESYNC_LIMITS__IMPORTS": "9"}, {"limits.imports": "3", "api.listen": "127.0.0.1:1"})
    assert settings.limits.imports == 3
    assert settings.api.port == 1
    assert settings.where("limits", "imports") == "option limits.imports"


def test_an_override_can_mend_the_file(file: Path) -> None:
    file.write_text("hub: central\nlog: {level: loud}\n")
    assert load(file, {"EDGESYNC_LOG__LEVEL": "debug"}).log.level == "debug"


def test_an_empty_variable_counts_as_unset(file: Path) -> None:
    assert load(file, {"EDGESYNC_LIMITS__IMPORTS": "", "EDGESYNC_CONFIG": ""}).limits.imports == 2


def test_variables_of_other_parts_are_left_alone(file: Path) -> None:
    assert load(file, dict.fromkeys(RESERVED, "x")).limits.imports == 2


def test_the_environment_names_the_file(file: Path) -> None:
    assert load(None, {"EDGESYNC_CONFIG": str(file)}).limits.imports == 2


def test_the_default_file() -> None:
    if DEFAULT_PATH.exists():
        pytest.skip(f"{DEFAULT_PATH} exists here")
    with pytest.raises(ConfigError, match=f"^{DEFAULT_PATH}: can't be read"):
        load(None, {})


def test_wrong_values_name_the_variable(file: Path) -> None:
    environ = {
        "EDGESYNC_LIMITS__IMPORTS": "many",
        "EDGESYNC_API__LISTEN": "0.0.0.0:80",
        "EDGESYNC_EDGE_ORIGIN": "sometimes",
        "EDGESYNC_LIMITS__MAX_POOL_FILL": "1",
        "EDGESYNC_REGION": "a\nb",
        "EDGESYNC_RETRY__FIRST": "2h",
    }
    assert problems(file, environ, {"log.level": "inf"}) == [
        "environment EDGESYNC_API__LISTEN: api.listen: expected a loopback address like 127.0.0.1:9780, "
        'found "0.0.0.0:80": '
        "without TLS, the credentials of those who change something could be read on the way; name api.certificate and "
        "api.key",
        'environment EDGESYNC_EDGE_ORIGIN: edge_origin: expected true or false, found "sometimes"',
        'environment EDGESYNC_LIMITS__IMPORTS: limits.imports: expected a whole number from 1 to 256, found "many"',
        "environment EDGESYNC_LIMITS__MAX_POOL_FILL: limits.max_pool_fill: expected a share from 1% to 100%, "
        'like 85% or 0.85, found "1"; write 1% or 100%',
        "environment EDGESYNC_REGION: region: contains a line break; write it again without",
        "environment EDGESYNC_RETRY__FIRST: retry: the ceiling, 1h, is shorter than the first delay, 2h; "
        "raise retry.ceiling or lower retry.first",
        'option log.level: log.level: expected one of debug, info, warning, error, found "inf"; did you mean info?',
    ]


def test_unknown_variables_and_flags(file: Path) -> None:
    environ = {"EDGESYNC_LIMIT__IMPORTS": "1", "EDGESYNC_X": "1", "EDGESYNC_STORES__DCN0__MAX_CONCURRENT": "1"}
    only_in_file = "(stores and policies can only be set in the file)"
    said = problems(file, environ, {"api.listne": "x"})
    assert said[0] == (
        f"environment EDGESYNC_LIMIT__IMPORTS: unknown variable; did you mean EDGESYNC_LIMITS__IMPORTS? {only_in_file}"
    )
    assert all(line.startswith("environment EDGESYNC_") and line.endswith(only_in_file) for line in said[:3])
    assert said[3].startswith(
        "option api.listne: unknown setting; did you mean api.listen? known here: api.certificate, api.client_ca,"
    )


def test_problems_of_the_file_come_first(file: Path) -> None:
    file.write_text("limits: 5\n")
    assert problems(file, {"EDGESYNC_LIMITS__IMPORTS": "1", "EDGESYNC_LOG__LEVEL": "x"}) == [
        f"{file}:1:1: hub: missing; write the id of the central site's store, like `hub: central`",
        f"{file}:1:1: limits: expected a mapping, one `key: value` on each line, found 5",
        'environment EDGESYNC_LOG__LEVEL: log.level: expected one of debug, info, warning, error, found "x"',
    ]
