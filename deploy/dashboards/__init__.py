"""Grafana dashboards, generated: `python -m deploy.dashboards` writes the JSON files of the folder `dashboards`.

What is on a page is data (`fleet`, `site`, `engine`); how Grafana wants it said is in `grafana` alone.
"""
