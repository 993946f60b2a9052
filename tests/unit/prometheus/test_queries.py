"""What is wrong with a query is found."""

from __future__ import annotations

import pytest

from tests.unit.prometheus.queries import shown, wrong_in


@pytest.mark.parametrize(
    ("query", "complaints"),
    [
        ('sum by (store) (rate(edgesync_copy_results_total{result="failed"}[5m]))', []),
        ("edgesync_store_up and on (store) edgesync_store_info", []),
        (
            "histogram_quantile(0.9, sum by (le, kind) (rate(edgesync_journal_lock_wait_seconds_bucket[5m])))",
            [],
        ),
        ("edgesync_copy_results", ["no daemon shows edgesync_copy_results"]),
        ('edgesync_copies{site="dcn0"}', ["edgesync_copies has no label site"]),
        ('edgesync_copies{state="fail"}', ["edgesync_copies has no state fail"]),
        ('edgesync_findings{defect=~"no-image|no-snap"}', ["edgesync_findings has no defect no-snap"]),
        ("sum by (image) (edgesync_copies)", ["sum by (image) (edgesync_copies) has no label image"]),
        ("edgesync_copies / on (policy) edgesync_lag_seconds", ["edgesync_copies has no label policy"]),
        ("sum(edgesync_copies{}) > topk by (engine) (3, edgesync_copies)", None),
    ],
)
def test_metrics_and_labels_that_do_not_exist_are_named(query: str, complaints: list[str] | None) -> None:
    found = wrong_in(query, shown())
    assert found == complaints if complaints is not None else found
