"""Whatever is written: settings or a ConfigError with places, never another exception; and `show` loses nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from edgesync.config import load
from edgesync.errors import ConfigError
from tests.unit.config.test_good import EXAMPLE, FULL

FRAGMENTS = [
    *(
        "hub: ",
        "stores: ",
        "policies: ",
        "match: ",
        "- ",
        "? ",
        ": ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "#",
        "|",
        ">-\n",
        "<<: ",
    ),
    *(
        "!!int ",
        "!!float ",
        "!!bool ",
        "!!null ",
        "!!map ",
        "!!binary ",
        "! ",
        "!<",
        "!%zz",
        "&a ",
        "*a",
        "%YAML 1.1\n",
    ),
    *(
        "---\n",
        "...\n",
        "'",
        '"',
        "\\uD800",
        "\\U0011FFFF",
        "\t",
        "\n",
        "  ",
        "\u2028",
        "\x85",
        "\ufeff",
        "\0",
        "=",
        "~",
    ),
    *("1_000", "0b", "0x_", ".inf", "1e5", "2001-99-99", "12:30", "9" * 5000, "yes", "all", "central", "é", "1 GiB"),
    *("waves: [[dcn0], rest]", "rest", "windows: ", "mon-fri ", "22:00-06:00", "24:00", "85%", "timezone: ", "ceph: "),
    *("bandwidth: ", "200 Mbit/s", "uplink: ", "rate: ", "engine: ", "scrub: ", "off"),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "edgesync.yaml"


def check(file: Path, content: bytes) -> None:
    for problem in problems_of(file, content):
        assert re.match(re.escape(str(file)) + r":[1-9]\d*:[1-9]\d*: \S", problem)
        assert problem.isprintable()


def problems_of(file: Path, content: bytes) -> tuple[str, ...]:
    file.write_bytes(content)
    try:
        load(file, {})
    except ConfigError as error:
        return error.problems or ("refused without a reason",)
    return ()


@given(content=st.binary() | st.text().map(str.encode))
@example(content=b"hub: \xc3\xa9\xc3")
def test_any_bytes(file: Path, content: bytes) -> None:
    check(file, content)


@given(parts=st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=20))
def test_anything_like_yaml(file: Path, parts: list[str]) -> None:
    check(file, ("hub: central\n" + "".join(parts)).encode())


@given(data=st.data())
def test_good_files_with_something_in_between(file: Path, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([FULL, EXAMPLE.read_text()]))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    check(file, (text[:start] + data.draw(st.sampled_from(FRAGMENTS)) + text[end:]).encode())


Values = dict[str, st.SearchStrategy[Any]]


def mappings(required: Values, /, **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings with none, some or all of the optional entries."""
    return st.fixed_dictionaries(required, optional=optional)


words = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=12)
store_ids = words.map(lambda word: word.replace(",", ".")).filter(lambda word: word != "all")
durations = st.integers(1000, 300_000).map(lambda number: f"{number}ms")
sizes = st.integers(1, 2**40) | st.sampled_from(["1 GiB", "1.5 MiB", "20 GB"])
several = st.lists(words, min_size=1, max_size=3, unique=True)
matches = mappings(
    {"name": words},
    id=st.uuids().map(str) | st.lists(st.uuids().map(str), min_size=1, max_size=2, unique=True),
    visibility=st.sampled_from(["public", "private", "shared", "community"]),
    owner=words,
    tags=several,
    properties=st.dictionaries(words, words, min_size=1, max_size=3),
    hidden=st.booleans(),
    disk_format=words | several,
    min_size=sizes,
)
clocks = st.tuples(st.integers(0, 23), st.sampled_from(["00", "30"])).map(lambda clock: f"{clock[0]:02}:{clock[1]}")
spans = st.lists(clocks, min_size=2, max_size=2, unique=True).map("-".join)
days = st.lists(st.sampled_from(["mon", "tue", "wed-thu", "fri-mon", "sun"]), min_size=1, unique=True).map(",".join)
windows = days | spans | st.tuples(days, spans).map(" ".join)
rates = st.builds("{} {}bit/s".format, st.integers(100, 999_999), st.sampled_from(["k", "M"])) | st.builds(
    "{} {}B/s".format, st.integers(13, 99_999), st.sampled_from(["k", "Ki", "M", "Mi"])
)
timed_rates = st.builds(
    lambda rate, windows: {"rate": rate, "windows": windows}, rates, windows | st.lists(windows, min_size=1)
)
timetables = rates | st.builds(
    lambda timed, otherwise, at: [*timed[:at], *otherwise, *timed[at:]],
    st.lists(timed_rates, min_size=1, max_size=3),
    st.lists(rates.map(lambda rate: {"rate": rate}), max_size=1),
    st.integers(0, 3),
)
zones = st.sampled_from(["UTC", "Europe/Madrid", "America/Caracas"])
shares = st.integers(1, 100).map(lambda number: f"{number}%") | st.floats(0.01, 1)
repairs = st.sampled_from(["fix", "report"])
cephs = mappings(
    {"conf": st.just("/etc/ceph/ceph.conf"), "user": st.just("edgesync")},
    pool=st.just("glance"),
    keyring=st.just("/etc/ceph/keyring"),
)
stores = mappings(
    {},
    ceph=cephs,
    max_concurrent=st.integers(1, 64),
    max_pool_fill=shares,
    windows=windows | st.lists(windows, min_size=1, max_size=3),
    timezone=zones,
    overrun=st.sampled_from(["finish", "stop"]),
    bandwidth=timetables,
)
policies = mappings(
    {
        "name": st.text("abcxyz019._-", min_size=1, max_size=64),
        "match": st.just("all") | matches,
        "stores": st.just("all") | st.lists(store_ids, min_size=1, max_size=3, unique=True),
    },
    allow_failure=st.booleans(),
    priority=st.integers(-1000, 1000),
    stop_after_failures=st.integers(1, 1000),
    prune=st.booleans(),
    prune_limit=st.integers(1, 10_000),
    repair=repairs,
    engine=st.sampled_from(["auto", "rbd", "copy-image"]),
)


@st.composite
def with_waves(draw: st.DrawFn, configuration: dict[str, Any]) -> dict[str, Any]:
    """The configuration, its policies rolled out in waves of their own stores, or of any."""
    for policy in configuration.get("policies", []):
        named = [f"dcn{number}" for number in range(5)] if policy["stores"] == "all" else policy["stores"]
        left = [store for store in draw(st.permutations(named)) if store not in {configuration["hub"], "rest"}]
        cut = draw(st.integers(0, len(left)))
        waves = [wave for wave in (left[:cut], left[cut:]) if wave][: draw(st.integers(0, 2))]
        if waves:
            policy["waves"] = [*waves, *draw(st.sampled_from([["rest"], []]))]
    return configuration


configurations = mappings(
    {"hub": store_ids},
    cloud=words,
    region=words,
    edge_origin=st.booleans(),
    stores=st.dictionaries(store_ids | st.sampled_from(["ceph", "windows"]), stores, max_size=3),
    uplink=mappings({}, bandwidth=timetables, timezone=zones),
    limits=mappings(
        {},
        imports=st.integers(1, 256),
        imports_per_store=st.integers(1, 64),
        split_imports=st.booleans(),
        max_pool_fill=shares,
    ),
    policies=st.lists(policies, max_size=3, unique_by=lambda policy: str(policy["name"])),
    api=st.just({"listen": "127.0.0.2:1234"}),
    glance=mappings({}, timeout=durations, page_size=st.integers(1, 1000), staging=st.just("/srv/staging")),
    polling=mappings({}, active=durations, idle=durations, full_pass=durations),
    probes=mappings({}, every=durations, deadline=durations),
    breaker=mappings({}, failures=st.integers(1, 100), first=durations, ceiling=st.just("1d")),
    stall=mappings({}, after=durations),
    audit=mappings(
        {},
        every=durations,
        grace=st.just("10s"),
        trash_delay=st.just("1h"),
        orphans=st.sampled_from(["trash", "report"]),
        repair=repairs,
    ),
    scrub=mappings({}, every=st.sampled_from([False, "off", "7d", 3600]), bandwidth=rates),
    rbd=mappings(
        {},
        deadline=durations,
        max_depth=st.integers(0, 16),
        min_gain=shares,
        memory=st.sampled_from(["32 MiB", "1 GB", 64 << 30]),
    ),
    retry=mappings({}, first=durations, attempts=st.integers(1, 1000), per_store=st.integers(1, 10_000)),
    upload=mappings({}, timeout=durations),
    log=st.just({"level": "warning", "format": "console"}),
)


@given(configuration=configurations.flatmap(with_waves))
def test_shown_settings_load_again(file: Path, configuration: dict[str, Any]) -> None:
    file.write_text(yaml.safe_dump(configuration, allow_unicode=True))
    settings = load(file, {})
    file.write_text(settings.to_yaml())
    assert load(file, {}) == settings
