"""Moments between Django and the database: PostgreSQL keeps timestamps, SQLite keeps UTC text."""

from datetime import datetime, timezone

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone as django_timezone
from django.utils.dateparse import parse_datetime


def utc_text(moment: datetime) -> str:
    """Writes a moment as SQLite keeps it: `YYYY-MM-DD HH:MM:SS.ffffff` in UTC. Naive means Django's TIME_ZONE."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=django_timezone.get_default_timezone())
    return moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat(" ", "microseconds")


def from_utc(stored: datetime | str) -> datetime:
    """Reads a moment that SQLite keeps, parsed or not; aware under USE_TZ, else naive in Django's TIME_ZONE."""
    moment = parse_datetime(stored) if isinstance(stored, str) else stored
    if moment is None:
        raise ValueError(f"{stored!r} is not a moment")
    return as_django(moment.replace(tzinfo=timezone.utc))


def as_django(moment: datetime) -> datetime:
    """Gives an aware moment the form that Django's USE_TZ asks for."""
    if settings.USE_TZ:
        return moment
    return django_timezone.make_naive(moment, django_timezone.get_default_timezone())


def database_now(connection: BaseDatabaseWrapper) -> datetime:
    """Asks the database for the time; aware under USE_TZ, else naive in Django's TIME_ZONE."""
    with connection.cursor() as cursor:
        cursor.execute(f"select {CLOCKS[connection.vendor]}")
        ((moment,),) = cursor.fetchall()
    return from_utc(moment) if isinstance(moment, str) else moment


#: What each database calls its time.
CLOCKS = {
    "postgresql": "clock_timestamp()",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'",
}


def seconds_between(earlier: datetime, later: datetime) -> float:
    """Returns how long it was; two clocks may differ by a little, so never less than nothing."""
    return round(max((later - earlier).total_seconds(), 0.0), 1)
