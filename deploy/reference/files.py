"""Which pages there are, and in which files."""

from pathlib import Path

from deploy.reference import man, markdown

FOLDER = Path(__file__).parents[2] / "docs"


def files() -> dict[str, str]:
    return {"commands.md": markdown.page(), "edgesync.1": man.page()}
