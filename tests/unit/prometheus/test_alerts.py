"""Every alert fires when it should, says what it should, and is quiet otherwise: told by promtool itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers.prometheus import RULES, promtool
from tests.unit.prometheus.queries import shown_with_recordings, wrong_in

RUNBOOK = Path("deploy/RUNBOOK.md")
EXAMPLE = Path("deploy/prometheus/prometheus.yaml")
# What one reads at night by the symptom, what one looks a word up in, and what one reads by an alert.
PURPOSES = [
    "First",
    "Symptom by symptom",
    "States of a copy",
    "Why a copy waits",
    "Stalled imports",
    "Broken copies and orphans",
    "Damaged copies",
    "The trash",
    "The daemon does not start",
    "Alerts",
    "Words of the history",
]
CASES: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "alerts.yaml").read_text())
# What a scrape adds to every series.
TARGET = {"instance": "hub:9780", "job": "edgesync"}


def alerts() -> dict[str, Any]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def scraped(series: str) -> str:
    name, _, labels = series.removesuffix("}").partition("{")
    target = ",".join(f'{label}="{value}"' for label, value in TARGET.items())
    return f"{name}{{{labels}{',' if labels else ''}{target}}}"


def at_a_time(alert: str, case: Any, expected: list[Any]) -> dict[str, Any]:
    """What promtool compares with what is expected: the alert, at that time."""
    return {
        "name": f"{alert}: {case['series']}",
        "interval": "1m",
        "input_series": [{"series": scraped(series), "values": values} for series, values in case["series"].items()],
        "alert_rule_test": [{"eval_time": case["at"], "alertname": alert, "exp_alerts": expected}],
    }


def judge(tmp_path: Path, *tests: dict[str, Any]) -> None:
    """Have promtool compare all of them, which takes hardly longer than one: it names those that are otherwise."""
    file = tmp_path / "test.yaml"
    document = {"rule_files": [str(RULES.resolve())], "evaluation_interval": "1m", "tests": tests}
    file.write_text(yaml.safe_dump(document))
    judged = promtool("test", "rules", str(file))
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_promtool_accepts_the_rules_and_the_example() -> None:
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    example = promtool("check", "config", "--lint=all", "--lint-fatal", str(EXAMPLE))
    assert example.returncode == 0, example.stdout + example.stderr


def test_the_example_has_what_a_daemon_with_tls_and_closed_reading_asks_for(tmp_path: Path) -> None:
    written = re.sub(r"^    # (?=( *)[a-z_]+:( [/a-z]\S*)?$)", "    ", EXAMPLE.read_text(), flags=re.MULTILINE)
    (job,) = yaml.safe_load(written)["scrape_configs"]
    assert job["scheme"] == "https"
    assert job["tls_config"].keys() == {"ca_file", "cert_file", "key_file"}
    assert job["authorization"].keys() == {"credentials_file"}
    # The files that it names are not here.
    file = tmp_path / "prometheus.yaml"
    file.write_text(written.replace("edgesync.rules.yaml", str(RULES.resolve())))
    checked = promtool("check", "config", "--syntax-only", str(file))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_is_tested() -> None:
    assert CASES.keys() == alerts().keys()
    assert all(case["quiet"] for case in CASES.values())


def firing(alert: str) -> dict[str, Any]:
    case = CASES[alert]["fires"]
    severity = alerts()[alert]["labels"]["severity"]
    runbook = f"deploy/RUNBOOK.md#{alert.lower()}"
    annotations = {"summary": case["summary"], "description": case["description"], "runbook_url": runbook}
    labels = {**TARGET, "severity": severity, **case.get("labels", {})}
    return at_a_time(alert, case, [{"exp_labels": labels, "exp_annotations": annotations}])


def test_each_fires_and_says_what_is_wrong(tmp_path: Path) -> None:
    judge(tmp_path, *(firing(alert) for alert in CASES))


def test_each_is_quiet_otherwise(tmp_path: Path) -> None:
    judge(tmp_path, *(at_a_time(alert, quiet, []) for alert, case in CASES.items() for quiet in case["quiet"]))


def test_a_daemon_that_was_never_scraped_is_noticed(tmp_path: Path) -> None:
    annotations = {
        "summary": "no edgesync daemon answers",
        "description": "Prometheus has had no answer from any edgesync for two minutes: no copy is made, watched or "
        "mended. What Glance has begun goes on. `systemctl status edgesync` on its host says whether it runs.",
        "runbook_url": "deploy/RUNBOOK.md#edgesyncdown",
    }
    labels = {"job": "edgesync", "severity": "critical"}
    case = {"series": {"other": "1x10"}, "at": "5m"}
    judge(tmp_path, at_a_time("EdgesyncDown", case, [{"exp_labels": labels, "exp_annotations": annotations}]))


def test_a_copy_that_was_mended_between_two_scrapes_is_told_as_damaged_all_the_same(tmp_path: Path) -> None:
    expected = firing("EdgesyncCopyDamaged")["alert_rule_test"][0]["exp_alerts"]
    series = {
        'edgesync_verifications_total{store="dcn0",result="damaged"}': "0x5 1x60",
        'edgesync_findings{store="dcn0",defect="damaged"}': "0x65",
    }
    cases = [{"series": series, "at": at} for at in ("6m", "50m")]
    judge(tmp_path, *(at_a_time("EdgesyncCopyDamaged", case, expected) for case in cases))


@pytest.mark.parametrize("alert", sorted(alerts()))
def test_every_alert_has_what_a_person_needs(alert: str) -> None:
    rule = alerts()[alert]
    assert alert.startswith("Edgesync")
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"].endswith(f"#{alert.lower()}")


@pytest.mark.parametrize("alert", [name for name, rule in alerts().items() if rule["labels"]["severity"] == "critical"])
def test_whoever_gets_up_at_night_has_a_command_to_begin_with(alert: str) -> None:
    said = alerts()[alert]["annotations"]["description"].rsplit(". ", 1)[1]
    assert re.search(r"`(edgesync|systemctl|journalctl|ceph) [^`]+`", said)


def chapters() -> dict[str, str]:
    """The runbook's, by title."""
    parts = re.split(r"^## (.+)\n", RUNBOOK.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_alert_has_its_section_of_the_runbook_and_every_section_its_alert() -> None:
    assert re.findall(r"^### (.+)$", chapters()["Alerts"], re.MULTILINE) == list(alerts())


def test_every_section_says_what_it_means_how_to_confirm_it_and_what_to_do() -> None:
    for section in chapters()["Alerts"].split("\n### ")[1:]:
        said = re.findall(r"^- \*\*(\w+)\*\*: .", section, re.MULTILINE)
        # What an exercise on the lab showed, where there was one.
        assert said in (["Means", "Confirm", "Fix"], ["Means", "Confirm", "Fix", "Seen"]), section


def test_the_other_chapters_of_the_runbook_are_those_that_have_a_purpose() -> None:
    assert list(chapters()) == PURPOSES


def test_rules_ask_only_for_what_the_daemon_shows() -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    known = shown_with_recordings(groups)
    for group in groups:
        for rule in group["rules"]:
            assert wrong_in(rule["expr"], known) == [], rule
