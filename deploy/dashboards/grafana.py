"""Pages as Grafana's JSON."""

from __future__ import annotations

from itertools import count

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import DataSourceRef, StackingMode
from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsMode, VariableRefresh, VariableSort

from deploy.dashboards.page import Figure, Graph, Page, Query

# Whichever Prometheus is picked at the top of the page.
SOURCE = DataSourceRef(type_val="prometheus", uid="$datasource")
# Of Grafana's 24 columns.
FIGURE_WIDTH, GRAPH_WIDTH = 4, 12
FIGURE_HEIGHT, GRAPH_HEIGHT = 4, 8


def rendered(page: Page) -> str:
    """The dashboard, as it is imported."""
    made = (
        dashboard.Dashboard(page.title)
        .uid(page.uid)
        .description(page.description)
        .tags(["edgesync"])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    if page.of_one_store:
        made = made.with_variable(_store())
    # Links to single panels go by these.
    ids = count(1)
    for row in page.rows:
        made = made.with_row(dashboard.Row(row.title).id(next(ids)))
        for panel in row.panels:
            drawn = _figure(panel) if isinstance(panel, Figure) else _graph(panel)
            made = made.with_panel(drawn.id(next(ids)))
    return JSONEncoder(sort_keys=True, indent=2).encode(made.build()) + "\n"


def _store() -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable("store")
        .label("Store")
        .datasource(SOURCE)
        .query("label_values(edgesync_store_info, store)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.NATURAL_ASC)
    )


def _figure(figure: Figure) -> stat.Panel:
    steps = [Threshold(color="green" if figure.red_from is not None else "text")]
    if figure.red_from is not None:
        steps.append(Threshold(value=figure.red_from, color="red"))
    return (
        stat.Panel()
        .title(figure.title)
        .description(figure.description)
        .datasource(SOURCE)
        .unit(figure.unit)
        .thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .span(FIGURE_WIDTH)
        .height(FIGURE_HEIGHT)
        .with_target(_target(0, Query(expr=figure.expr)).instant())
    )


def _graph(graph: Graph) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .title(graph.title)
        .description(graph.description)
        .datasource(SOURCE)
        .unit(graph.unit)
        .min(0)
        .span(GRAPH_WIDTH)
        .height(GRAPH_HEIGHT)
    )
    if graph.stacked:
        panel = panel.fill_opacity(30).stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    for number, query in enumerate(graph.queries):
        panel = panel.with_target(_target(number, query))
    return panel


def _target(number: int, query: Query) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id("ABCDEF"[number]).expr(query.expr).legend_format(query.legend or "__auto")
