"""The task that every contender runs."""

import record
from django.tasks import task


@task
def noop(number: int) -> None:
    """Says that it ran."""
    record.ran(number)
