"""The tasks that this process knows. A name stored in the database is a key in here and is never imported."""

from gristmill.compat import AnyTask

_tasks: dict[tuple[str, str], AnyTask] = {}
_loaded = False


def register(task: AnyTask) -> None:
    """Makes a task known under its module path; the first task of a name and backend stays."""
    if "<locals>" in task.func.__qualname__:
        return
    _tasks.setdefault((task.backend, task.module_path), task)


def load() -> None:
    """Imports the `tasks` module of every installed app, once."""
    global _loaded
    if not _loaded:
        from django.utils.module_loading import autodiscover_modules

        autodiscover_modules("tasks")
        _loaded = True


def get(backend: str, name: str) -> AnyTask | None:
    """Returns the task of that name: the backend's own, else another backend's, whose code is the same."""
    own = _tasks.get((backend, name))
    return own or next((task for (_, known), task in _tasks.items() if known == name), None)
