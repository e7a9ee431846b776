"""When what is ready will have been worked off, at the present rate: a guess, where there is enough to go by."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.inspect.counted import counted_by_queue, now_of
from gristmill.inspect.survey import QueueSeen
from gristmill.inspect.tables import age

#: The minutes that are looked at, the last ones that are over, and of them those in which jobs must have ended.
MINUTES, LEAST_MINUTES = 15, 5
#: Fewer jobs than these are done before anybody has read of it; later than that is anybody's guess.
LEAST_JOBS, LONGEST = 20, timedelta(days=2)


@dataclass(frozen=True)
class Rate:
    """How many jobs of a queue have ended, in how many of the last minutes."""

    ended: int
    minutes: int

    @property
    def a_minute(self) -> float:
        """Returns how many end in a minute, those included in which none did."""
        return self.ended / MINUTES


@dataclass(frozen=True)
class Forecast:
    """In how many seconds what is ready in a queue is done; at the earliest, where there is more than was counted."""

    backend: str
    queue_name: str
    seconds: float
    at_least: bool
    a_minute: float

    def __str__(self) -> str:
        when = f"in {age(self.seconds)} at the earliest" if self.at_least else f"in about {age(self.seconds)}"
        return f"done {when} at the present rate, {self.a_minute:,.0f} a minute"


def rates_of(connection: BaseDatabaseWrapper, backends: Collection[str]) -> dict[tuple[str, str], Rate]:
    """Returns the rate of each (backend, queue) in which jobs ended within the last minutes. Two queries."""
    until = now_of(connection) // 60 * 60
    found: dict[tuple[str, str], Rate] = {}
    for backend, queue_name, minutes, ended in counted_by_queue(connection, backends, until - 60 * MINUTES, until):
        found[backend, queue_name] = Rate(ended, minutes)
    return found


def seconds_for(jobs: int, rate: Rate | None) -> float | None:
    """Returns how long so many jobs take at that rate; None where there is too little to say."""
    if rate is None or rate.minutes < LEAST_MINUTES or rate.ended == 0 or jobs < LEAST_JOBS:
        return None
    seconds = jobs / rate.a_minute * 60
    return seconds if seconds <= LONGEST.total_seconds() else None


def forecasts_of(connection: BaseDatabaseWrapper, queues: Collection[QueueSeen]) -> list[Forecast]:
    """Returns what can be said of these queues of a database; of one that is paused, nothing."""
    waiting = [queue for queue in queues if queue.paused is None and queue.ready >= LEAST_JOBS]
    if not waiting:
        return []
    rates = rates_of(connection, {queue.backend for queue in waiting})
    found = []
    for queue in waiting:
        rate = rates.get((queue.backend, queue.queue_name))
        seconds = seconds_for(queue.ready, rate)
        if rate is not None and seconds is not None:
            more = "ready" in queue.at_least
            found.append(Forecast(queue.backend, queue.queue_name, round(seconds, 1), more, round(rate.a_minute, 2)))
    return found
