"""The committed dashboards are those that the code makes, and ask for what daemons show."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.dashboards.files import FOLDER, PAGES, files
from tests.servers.prometheus import promtool
from tests.unit.prometheus.queries import shown, wrong_in

# What Grafana puts in before it asks.
VARIABLES = {"$store": "dcn0", "$__rate_interval": "5m"}

pytestmark = pytest.mark.parametrize("name", sorted(PAGES))


def page(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


def panels(name: str) -> Iterator[Any]:
    return (panel for panel in page(name)["panels"] if panel["type"] != "row")


def queries(name: str) -> Iterator[str]:
    for panel in panels(name):
        for target in panel["targets"]:
            query = target["expr"]
            for variable, value in VARIABLES.items():
                query = query.replace(variable, value)
            yield query


def test_it_is_what_the_code_makes(name: str) -> None:
    assert (FOLDER / name).read_text() == files()[name], "run: python -m deploy.dashboards"


def test_every_query_asks_for_metrics_and_labels_that_daemons_show(name: str) -> None:
    known = shown()
    assert {query: wrong for query in queries(name) if (wrong := wrong_in(query, known))} == {}


def test_prometheus_itself_can_read_every_query(name: str, tmp_path: Any) -> None:
    rules = [{"record": f"q:{number}", "expr": query} for number, query in enumerate(queries(name))]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    checked = promtool("check", "rules", str(file))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_legends_name_labels_that_their_series_have(name: str) -> None:
    known = shown()
    labels = {label for names in known.values() for label in names}
    for panel in panels(name):
        for target in panel["targets"]:
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels


def test_grafana_s_own_schema_reads_it_back_without_loss(name: str) -> None:
    register_default_plugins()
    read = Dashboard.from_json(page(name))
    assert json.loads(JSONEncoder().encode(read)) == page(name)


def test_people_can_rely_on_its_address_and_its_panels(name: str) -> None:
    found = page(name)
    assert found["uid"] == f"edgesync-{name.removesuffix('.json')}"
    assert found["templating"]["list"][0]["name"] == "datasource"
    ids = [panel["id"] for panel in found["panels"]]
    assert len(ids) == len(set(ids))
    assert all(panel["datasource"]["uid"] == "$datasource" and panel["description"] for panel in panels(name))


def test_its_panels_do_not_overlap(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in page(name)["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
