from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "golden"

Same = Callable[[str, str], None]


@pytest.fixture
def same(request: pytest.FixtureRequest) -> Same:
    """Compare with a file, or write it."""

    def compare(name: str, said: str) -> None:
        file, text = FOLDER / f"{name}.txt", "".join(f"{line.rstrip()}\n" for line in said.splitlines())
        if request.config.getoption("--golden"):
            file.write_text(text)
        assert text == file.read_text()

    return compare
