"""The contract: what the rbd engine relies on in a site's pool. The fake passes it here, a real one in `tests/lab`.

A class to inherit from; the heir's module provides the fixtures `driver` and `blocks` (a client of its store).
"""

from __future__ import annotations

from tests.contract.blocks.digesting import Digesting
from tests.contract.blocks.layering import Layering
from tests.contract.blocks.reading import Reading
from tests.contract.blocks.writing import Failing, Writing


class BlocksContract(Reading, Writing, Failing, Layering, Digesting):
    """All of it."""
