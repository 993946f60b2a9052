"""The machinery: the daemon's turns, Glance, Keystone, the journal, threads, what goes over the lines."""

from deploy.dashboards.page import Figure, Graph, Page, Query, Row, Unit


def _quantile(share: float, histogram: str, label: str = "") -> str:
    by = f"le, {label}" if label else "le"
    return f"histogram_quantile({share}, sum by ({by}) (rate({histogram}_bucket[$__rate_interval])))"


ENGINE = Page(
    uid="edgesync-engine",
    title="edgesync: engine",
    description="The daemon itself: turns, Glance, journal, threads, bytes.",
    rows=(
        Row(
            title="Daemon",
            panels=(
                Figure(
                    title="Last good turn",
                    description="How long ago edgesync last decided what to do.",
                    expr="time() - max(edgesync_last_good_tick_timestamp_seconds)",
                    unit=Unit.SECONDS,
                    red_from=600,
                ),
                Figure(
                    title="Running for",
                    description="Since its last start.",
                    expr='time() - max(process_start_time_seconds{job="edgesync"})',
                    unit=Unit.SECONDS,
                ),
                Figure(
                    title="Configuration refused",
                    description="1 while a changed configuration waits to be corrected.",
                    expr="1 - min(edgesync_config_last_reload_successful)",
                    red_from=1,
                ),
                Figure(title="Open jobs", description="Queued and running.", expr="sum(edgesync_jobs_open)"),
                Figure(
                    title="Foreign locks",
                    description="Images that somebody else's imports hold.",
                    expr="sum(edgesync_foreign_locks)",
                ),
                Figure(
                    title="Certificate ends",
                    description="The first of those that were seen.",
                    expr="min(edgesync_certificate_expiry_timestamp_seconds) * 1000",
                    unit=Unit.AGO,
                ),
            ),
        ),
        Row(
            title="Turns and process",
            panels=(
                Graph(
                    title="Duration of turns",
                    description="Half of them, and 99 in 100, take less.",
                    queries=(
                        Query(expr=_quantile(0.5, "edgesync_tick_duration_seconds"), legend="half"),
                        Query(expr=_quantile(0.99, "edgesync_tick_duration_seconds"), legend="99 in 100"),
                    ),
                    unit=Unit.SECONDS,
                ),
                Graph(
                    title="Turns that failed",
                    description="Per second.",
                    queries=(Query(expr="rate(edgesync_ticks_failed_total[$__rate_interval])", legend="failed"),),
                    unit=Unit.PER_SECOND,
                ),
                Graph(
                    title="Memory",
                    description="It does not grow with the length of an outage.",
                    queries=(Query(expr='process_resident_memory_bytes{job="edgesync"}', legend="resident"),),
                    unit=Unit.BYTES,
                ),
                Graph(
                    title="Processor",
                    description="Cores in use.",
                    queries=(
                        Query(expr='rate(process_cpu_seconds_total{job="edgesync"}[$__rate_interval])', legend="cores"),
                    ),
                ),
            ),
        ),
        Row(
            title="Glance and Keystone",
            panels=(
                Graph(
                    title="Requests to Glance by status",
                    description="Per second; `timeout` and `unreachable` have no answer.",
                    queries=(
                        Query(
                            expr="sum by (status) "
                            "(rate(edgesync_glance_request_duration_seconds_count[$__rate_interval]))",
                            legend="{{status}}",
                        ),
                    ),
                    unit=Unit.PER_SECOND,
                    stacked=True,
                ),
                Graph(
                    title="Slow requests",
                    description="99 in 100 take less.",
                    queries=(
                        Query(
                            expr=_quantile(0.99, "edgesync_glance_request_duration_seconds", "operation"),
                            legend="{{operation}}",
                        ),
                    ),
                    unit=Unit.SECONDS,
                ),
                Graph(
                    title="Log-ins",
                    description="Per hour, by result.",
                    queries=(
                        Query(
                            expr="sum by (result) (increase(edgesync_login_duration_seconds_count[1h]))",
                            legend="{{result}}",
                        ),
                    ),
                ),
                Graph(
                    title="Wait in the queue",
                    description="Half of the copies, and nine in ten, wait less from when they were asked for.",
                    queries=(
                        Query(expr=_quantile(0.5, "edgesync_queue_wait_seconds"), legend="half"),
                        Query(expr=_quantile(0.9, "edgesync_queue_wait_seconds"), legend="nine in ten"),
                    ),
                    unit=Unit.SECONDS,
                ),
            ),
        ),
        Row(
            title="Bytes",
            panels=(
                Graph(
                    title="Brought and sent",
                    description="Size of the images copied, and what went over the lines for them.",
                    queries=(
                        Query(
                            expr='sum by (engine) (increase(edgesync_copy_logical_bytes_total{result="copied"}[1h]))',
                            legend="{{engine}}: images",
                        ),
                        Query(
                            expr="sum by (engine) (increase(edgesync_copy_wire_bytes_total[1h]))",
                            legend="{{engine}}: sent",
                        ),
                    ),
                    unit=Unit.BYTES,
                ),
                Graph(
                    title="Imports that ceased to get on",
                    description="Per day, by cause.",
                    queries=(Query(expr="sum by (cause) (increase(edgesync_stalls_total[1d]))", legend="{{cause}}"),),
                ),
            ),
        ),
        Row(
            title="Journal and threads",
            panels=(
                Graph(
                    title="Transactions",
                    description="99 in 100 take less; and wait less for the database's lock.",
                    queries=(
                        Query(
                            expr=_quantile(0.99, "edgesync_journal_transaction_duration_seconds", "kind"),
                            legend="{{kind}}",
                        ),
                        Query(
                            expr=_quantile(0.99, "edgesync_journal_lock_wait_seconds", "kind"),
                            legend="{{kind}}: waiting",
                        ),
                    ),
                    unit=Unit.SECONDS,
                ),
                Graph(
                    title="Transactions that failed",
                    description="Per ten minutes.",
                    queries=(Query(expr="increase(edgesync_journal_errors_total[10m])", legend="{{kind}}"),),
                ),
                Graph(
                    title="Busiest threads",
                    description="Share of the threads for a site's Ceph in which a call is under way.",
                    queries=(
                        Query(
                            expr="topk(10, edgesync_threads_busy / edgesync_threads_limit > 0)",
                            legend="{{store}}, {{pool}}",
                        ),
                    ),
                    unit=Unit.RATIO,
                ),
                Graph(
                    title="Stuck threads",
                    description="Calls past their deadline that Ceph does not end.",
                    queries=(Query(expr="edgesync_threads_stuck > 0", legend="{{store}}, {{pool}}"),),
                ),
            ),
        ),
    ),
)
