"""As much of it as the tests use; the package has no types of its own."""

from playwright.async_api import Page

class AxeResults:
    @property
    def violations_count(self) -> int: ...
    def generate_report(self) -> str: ...

class Axe:
    async def run(self, page: Page) -> AxeResults: ...
