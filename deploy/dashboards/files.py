"""Which pages there are, and in which files."""

from pathlib import Path

from deploy.dashboards.engine import ENGINE
from deploy.dashboards.fleet import FLEET
from deploy.dashboards.grafana import rendered
from deploy.dashboards.page import Page
from deploy.dashboards.site import SITE

FOLDER = Path(__file__).parents[2] / "dashboards"
PAGES: dict[str, Page] = {"fleet.json": FLEET, "site.json": SITE, "engine.json": ENGINE}


def files() -> dict[str, str]:
    return {name: rendered(page) for name, page in PAGES.items()}
