"""Tells of failures: by mail, or by calling the project's own function."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage

from gristmill.inspect.listing.rows import rows_by_id
from gristmill.inspect.notices.notice import Notice, redacted_error
from gristmill.inspect.survey import CAP
from gristmill.models import ResultRow
from gristmill.tasks import notify
from gristmill.values.moments import from_utc

if TYPE_CHECKING:
    from gristmill.backend import GristmillBackend


def tell(backend: GristmillBackend, fingerprint: str, job_id: str, hour: str) -> bool:
    """Tells of a cause, unless nothing is left of it: its jobs were retried or forgotten. Raises what goes wrong."""
    notice = notice_of(backend.database, fingerprint, job_id, from_utc(hour))
    if notice is None:
        return False
    if (function := notify.function(backend.options)) is not None:
        function(notice)
    elif addresses := notify.addresses(backend.options):
        message_of(notice, addresses).send()
    return True


def notice_of(using: str, fingerprint: str, job_id: str, hour: datetime) -> Notice | None:
    """Returns what is to be told of a cause: of this job, or of the newest where that one is gone."""
    rows = ResultRow.objects.using(using).filter(fingerprint=fingerprint, state__in=("failed", "poisoned"))
    ids = (
        rows.filter(pk=job_id).values_list("pk", flat=True)[:1]
        or rows.order_by("-finished_at", "-pk").values_list("pk", flat=True)[:1]
    )
    lines = rows_by_id(using, [UUID(str(each)) for each in ids])
    if not lines:
        return None
    (row,) = lines
    count = rows.filter(finished_at__gte=hour).values("pk")[: CAP + 1].count()
    return Notice(
        row.backend,
        row.task_name,
        row.state,
        redacted_error(using, row),
        row.id,
        fingerprint,
        min(count, CAP),
        count > CAP,
        hour,
    )


def message_of(notice: Notice, addresses: list[str]) -> EmailMessage:
    """Returns the mail, as Django's own to ADMINS looks."""
    return EmailMessage(
        f"{settings.EMAIL_SUBJECT_PREFIX}{notice.subject}", str(notice), settings.SERVER_EMAIL, addresses
    )


__all__ = ["tell"]
