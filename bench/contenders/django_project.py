"""What contenders that live in a Django project share: migrate, and enqueue through Django's own API."""

from .base import BENCH, Contender


class DjangoContender(Contender):
    """Uses bench/site with one of its backends."""

    backend = ""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.environment["BENCH_BACKEND"] = self.backend

    def manage(self, *arguments: str) -> list[str]:
        """A command line of the project's manage.py."""
        return [self.python, str(BENCH / "site" / "manage.py"), *arguments]

    def prepare(self) -> None:
        self.run(self.manage("migrate", "-v", "0"))

    def fill(self, jobs: int) -> None:
        self.run([self.python, str(BENCH / "site" / "fill.py"), self.backend, str(jobs)])

    def enqueue_command(self, how: str, jobs: int, pause: float) -> list[str]:
        return [self.python, str(BENCH / "site" / "enqueue.py"), how, str(jobs), str(pause)]
