"""One site: its health, its room, its copies, its line."""

from deploy.dashboards.page import Figure, Graph, Page, Query, Row, Unit

SITE = Page(
    uid="edgesync-site",
    title="edgesync: site",
    description="One store: health, room, copies, line, findings.",
    of_one_store=True,
    rows=(
        Row(
            title="$store",
            panels=(
                Figure(
                    title="Down",
                    description="1 while no copies are sent there.",
                    expr='1 - edgesync_store_up{store="$store"}',
                    red_from=1,
                ),
                Figure(
                    title="Lag",
                    description="How long its oldest missing copy has been missing.",
                    expr='max(edgesync_lag_seconds{store="$store"})',
                    unit=Unit.SECONDS,
                ),
                Figure(
                    title="Waiting",
                    description="Copies in its queue.",
                    expr='sum(edgesync_waiting_copies{store="$store"})',
                ),
                Figure(
                    title="Findings",
                    description="Copies on which Glance and Ceph disagree.",
                    expr='sum(edgesync_findings{store="$store"})',
                    red_from=1,
                ),
                Figure(
                    title="Pool",
                    description="How full it is.",
                    expr='edgesync_pool_fill_ratio{store="$store"}',
                    unit=Unit.RATIO,
                    red_from=0.85,
                ),
                Figure(
                    title="Oldest verification",
                    description="When the copy was last compared with its image for which that is longest ago.",
                    expr='edgesync_oldest_verification_timestamp_seconds{store="$store"} * 1000',
                    unit=Unit.AGO,
                ),
            ),
        ),
        Row(
            title="Copies",
            panels=(
                Graph(
                    title="Copies by state",
                    description="All of them.",
                    queries=(Query(expr='edgesync_copies{store="$store"} > 0', legend="{{state}}"),),
                    stacked=True,
                ),
                Graph(
                    title="What copies wait for",
                    description="By reason; the runbook has a line for each.",
                    queries=(Query(expr='edgesync_waiting_copies{store="$store"} > 0', legend="{{reason}}"),),
                    stacked=True,
                ),
                Graph(
                    title="Lag by policy",
                    description="How long the oldest missing copy has been missing, and what the policy allows.",
                    queries=(
                        Query(expr='edgesync_lag_seconds{store="$store"}', legend="{{policy}}"),
                        Query(expr="edgesync_lag_objective_seconds", legend="objective of {{policy}}"),
                    ),
                    unit=Unit.SECONDS,
                ),
                Graph(
                    title="Copies ended per hour",
                    description="By result, with those that were tried again.",
                    queries=(
                        Query(
                            expr='sum by (result) (increase(edgesync_copy_results_total{store="$store"}[1h]))',
                            legend="{{result}}",
                        ),
                        Query(expr='increase(edgesync_copy_retries_total{store="$store"}[1h])', legend="retries"),
                    ),
                ),
            ),
        ),
        Row(
            title="Line and pool",
            panels=(
                Graph(
                    title="Line",
                    description="Images arriving (zeros and all), what edgesync itself sends for them, and the limit.",
                    queries=(
                        Query(expr='edgesync_copy_rate_bytes_per_second{store="$store"}', legend="arriving"),
                        Query(expr='rate(edgesync_sent_bytes_total{store="$store"}[$__rate_interval])', legend="sent"),
                        Query(expr='edgesync_rate_limit_bytes_per_second{store="$store"}', legend="limit"),
                    ),
                    unit=Unit.BYTES_PER_SECOND,
                ),
                Graph(
                    title="Pool",
                    description="Image data, and the room that is left.",
                    queries=(
                        Query(expr='edgesync_pool_used_bytes{store="$store"}', legend="used"),
                        Query(expr='edgesync_pool_available_bytes{store="$store"}', legend="available"),
                    ),
                    unit=Unit.BYTES,
                    stacked=True,
                ),
                Graph(
                    title="Duration of copies",
                    description="Half of the copies, and nine in ten, take less.",
                    queries=tuple(
                        Query(
                            expr=f"histogram_quantile({share}, sum by (le, engine) "
                            '(rate(edgesync_copy_duration_seconds_bucket{store="$store"}[6h])))',
                            legend=f"{name}, {{{{engine}}}}",
                        )
                        for share, name in ((0.5, "half"), (0.9, "nine in ten"))
                    ),
                    unit=Unit.SECONDS,
                ),
                Graph(
                    title="Breaker",
                    description="The state that the store's breaker is in.",
                    queries=(Query(expr='edgesync_store_breaker_state{store="$store"}', legend="{{state}}"),),
                ),
            ),
        ),
        Row(
            title="Care",
            panels=(
                Graph(
                    title="Findings",
                    description="By defect, and those that are left to a person.",
                    queries=(
                        Query(expr='edgesync_findings{store="$store"} > 0', legend="{{defect}}"),
                        Query(expr='edgesync_findings_held{store="$store"} > 0', legend="{{defect}}, left to a person"),
                    ),
                ),
                Graph(
                    title="Mended, verified, removed per day",
                    description="What edgesync did for the copies that are there.",
                    queries=(
                        Query(expr='increase(edgesync_copies_repaired_total{store="$store"}[1d])', legend="{{repair}}"),
                        Query(
                            expr='increase(edgesync_orphans_trashed_total{store="$store"}[1d])',
                            legend="orphans trashed",
                        ),
                        Query(expr='increase(edgesync_verifications_total{store="$store"}[1d])', legend="{{result}}"),
                        Query(expr='increase(edgesync_copies_removed_total{store="$store"}[1d])', legend="removed"),
                    ),
                ),
            ),
        ),
    ),
)
