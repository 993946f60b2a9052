"""What one scrape costs with 10,000 images at 100 stores: `python -m tests.bench.scrapes`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from statistics import median

import click
from rich.console import Console
from rich.table import Table

from edgesync.expose.metrics import Metrics
from edgesync.plan.situation import Situation
from tests.bench.plans import EVERYTHING, ROUNDS, Cloud
from tests.builders import NOW
from tests.unit.expose import exposition
from tests.unit.expose.pictures import picture_of

POLICIES = 5


@click.command()
@click.option("--images", default=10_000, show_default=True)
@click.option("--stores", default=100, show_default=True)
def main(images: int, stores: int) -> None:
    """Measure scrapes of a cloud at rest, and of one where every copy is missing, each since a time of its own."""
    cloud = Cloud(images, stores)
    table = Table(title=f"{images} images x {stores} stores, {ROUNDS} scrapes each", title_justify="left", box=None)
    for column in ("", "ms", "worst ms", "KiB"):
        table.add_column(column, justify="right" if column else "left")
    for what, metrics in _cases(cloud).items():
        table.add_row(what, *_measured(metrics))
    Console(width=120).print(table)


def _cases(cloud: Cloud) -> Mapping[str, Metrics]:
    policies = [
        replace(EVERYTHING, name=f"policy-{number}", lag_objective=timedelta(hours=4)) for number in range(POLICIES)
    ]

    def case(everywhere: bool) -> Situation:
        made = cloud.situation(cloud.images(everywhere=everywhere))
        return replace(made, wants=exposition.wants_of(made, policies))

    scattered = case(False)
    return {
        "at rest": _told(case(True)),
        "everything missing": _told(scattered),
        "everything missing, each image since its own time": _told(scattered, one_by_one),
    }


def at_once(_: Metrics) -> None:
    """As if all images had come at the same time."""


def one_by_one(metrics: Metrics) -> None:
    """As if each image had come a second after the one before."""
    gaps = enumerate(metrics.lags.gaps.items())
    metrics.lags.recall(
        {image: ((NOW - timedelta(seconds=number), stores),) for number, (image, ((_, stores),)) in gaps}
    )


def _told(case: Situation, age: Callable[[Metrics], None] = at_once) -> Metrics:
    of = next(iter(case.world.images.values()))
    stores = case.world.topology.stores
    metrics = exposition.metrics_on(picture_of(case, sites=exposition.sites(stores, of)))
    exposition.experience(metrics, stores, of)
    age(metrics)
    return metrics


def _measured(metrics: Metrics) -> tuple[str, str, str]:
    times, size = [], 0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        size = len(exposition.text(metrics).encode())
        times.append((time.perf_counter() - began) * 1e3)
    return f"{median(times):.0f}", f"{max(times):.0f}", f"{size / 1024:.0f}"


if __name__ == "__main__":
    main()
