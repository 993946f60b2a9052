"""All sites at a glance: is anything wrong, where, and what is late."""

from deploy.dashboards.page import Figure, Graph, Page, Query, Row, Unit

FLEET = Page(
    uid="edgesync-fleet",
    title="edgesync: fleet",
    description="All sites: what is wrong, what is late, what is moving.",
    rows=(
        Row(
            title="Is anything wrong?",
            panels=(
                Figure(
                    title="Stores down",
                    description="Stores that get no copies, or are being tried.",
                    expr="count(edgesync_store_up == 0) or vector(0)",
                    red_from=1,
                ),
                Figure(
                    title="Policies late",
                    description="Stores and policies whose oldest missing copy is beyond the policy's lag_objective.",
                    expr="count(edgesync_lag_seconds > on (instance, job, policy) group_left () "
                    "edgesync_lag_objective_seconds) or vector(0)",
                    red_from=1,
                ),
                Figure(
                    title="Copies failed, stalled, broken",
                    description="Copies that a person should look at.",
                    expr='sum(edgesync_copies{state=~"failed|stalled|broken|orphan"})',
                    red_from=1,
                ),
                Figure(
                    title="Copies waiting",
                    description="The whole queue.",
                    expr="sum(edgesync_waiting_copies)",
                ),
                Figure(
                    title="Last good turn",
                    description="How long ago edgesync last decided what to do.",
                    expr="time() - max(edgesync_last_good_tick_timestamp_seconds)",
                    unit=Unit.SECONDS,
                    red_from=600,
                ),
                Figure(
                    title="Alerts",
                    description="Those of edgesync that fire.",
                    expr='count(ALERTS{alertname=~"Edgesync.*",alertstate="firing"}) or vector(0)',
                    red_from=1,
                ),
            ),
        ),
        Row(
            title="Late and waiting",
            panels=(
                Graph(
                    title="Lag of the latest",
                    description="How long the oldest missing copy of each store and policy has been missing.",
                    queries=(
                        Query(expr="topk(10, edgesync_lag_seconds > 0)", legend="{{store}}, {{policy}}"),
                        Query(expr="edgesync_lag_objective_seconds", legend="objective of {{policy}}"),
                    ),
                    unit=Unit.SECONDS,
                ),
                Graph(
                    title="Queue by reason",
                    description="What copies wait for. `ready` and `budget` pass by themselves.",
                    queries=(Query(expr="sum by (reason) (edgesync_waiting_copies) > 0", legend="{{reason}}"),),
                    stacked=True,
                ),
                Graph(
                    title="Copies by state",
                    description="All stores together, but for those that are as they should be.",
                    queries=(
                        Query(expr='sum by (state) (edgesync_copies{state!~"present|unwanted"})', legend="{{state}}"),
                    ),
                ),
                Graph(
                    title="Stores that are down",
                    description="1 while a store's breaker is open.",
                    queries=(Query(expr='edgesync_store_breaker_state{state="open"} > 0', legend="{{store}}"),),
                ),
            ),
        ),
        Row(
            title="Moving",
            panels=(
                Graph(
                    title="Arriving",
                    description="How fast images arrive at the ten busiest stores, by whatever engine.",
                    queries=(
                        Query(expr="topk(10, edgesync_copy_rate_bytes_per_second > 0)", legend="{{store}}"),
                        Query(expr="edgesync_uplink_rate_limit_bytes_per_second", legend="uplink's limit"),
                    ),
                    unit=Unit.BYTES_PER_SECOND,
                ),
                Graph(
                    title="Copies ended per hour",
                    description="By result.",
                    queries=(
                        Query(
                            expr="sum by (result, engine) (increase(edgesync_copy_results_total[1h]))",
                            legend="{{result}} ({{engine}})",
                        ),
                    ),
                ),
                Graph(
                    title="Fullest pools",
                    description="Copies stop at the limit of each.",
                    queries=(
                        Query(expr="topk(10, edgesync_pool_fill_ratio)", legend="{{store}}"),
                        Query(expr="min(edgesync_pool_fill_limit_ratio)", legend="lowest limit"),
                    ),
                    unit=Unit.RATIO,
                ),
                Graph(
                    title="Imports under way",
                    description="By store; those that do not get on as well.",
                    queries=(
                        Query(expr="edgesync_imports_running > 0", legend="{{store}}"),
                        Query(expr="edgesync_stalled_imports > 0", legend="{{store}}: stalled"),
                    ),
                ),
            ),
        ),
    ),
)
