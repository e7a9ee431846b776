"""What OPTIONS["NOTIFY"] may name: writes down what it is told."""

from __future__ import annotations

from typing import Any

from work.tasks import write_line


def hear(notice: Any) -> None:
    """Hears of failures."""
    write_line("notices", {"task": notice.task_name, "state": notice.state, "count": notice.count})
