"""django-tasks-db, tuned: connections kept, polling every 0.1 s, two workers."""

from .django_project import DjangoContender


class TasksDB(DjangoContender):
    """Two workers of django-tasks-db."""

    name = "django-tasks-db"
    backend = "tasksdb"
    packages = ("Django>=6.1,<6.2", "django-tasks-db==0.13.0", "psycopg[binary]>=3.3")
    drain_jobs = 2_000
    workers = 2

    def worker_command(self) -> list[str]:
        return self.manage("db_worker", "--interval", "0.1", "--no-startup-delay", "--no-reload", "-v", "0")
