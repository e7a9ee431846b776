"""Ours."""

from .django_project import DjangoContender


class Gristmill(DjangoContender):
    """One worker with two runners."""

    name = "gristmill"
    backend = "gristmill"
    packages = ()
    drain_jobs = 30_000

    def worker_command(self) -> list[str]:
        return self.manage("gristmill", "worker", "--processes", "2", "--no-reload")
