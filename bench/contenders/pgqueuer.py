"""pgqueuer, tuned: asyncpg, batches of 200, two processes; no Django in it."""

from .base import BENCH, Contender


class PgQueuer(Contender):
    """Two processes of pgqueuer."""

    name = "pgqueuer"
    packages = ("pgqueuer[asyncpg]==1.6.0", "uvloop")
    drain_jobs = 40_000
    workers = 2

    def _script(self, *arguments: str) -> list[str]:
        return [self.python, str(BENCH / "peers" / "pgqueuer_program.py"), *arguments]

    def prepare(self) -> None:
        self.run(self._script("prepare"))

    def fill(self, jobs: int) -> None:
        self.run(self._script("fill", str(jobs)))

    def worker_command(self) -> list[str]:
        return self._script("work")

    def enqueue_command(self, how: str, jobs: int, pause: float) -> list[str]:
        return self._script(how, str(jobs), str(pause))
