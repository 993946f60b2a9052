"""How the fake says no."""


class RefusalError(Exception):
    """Glance says no: the HTTP status and the sentence in its body."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{status} {said}")
        self.status = status
        self.said = said
