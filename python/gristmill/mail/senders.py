"""The email backend that really sends: which one it is, and why one may not be it."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.base import BaseEmailBackend
from django.utils.module_loading import import_string

from gristmill.mail.options import email_entry, where_of_email
from gristmill.tasks.discovery.causes import is_in_tests

SMTP = "django.core.mail.backends.smtp.EmailBackend"
LOCMEM = "django.core.mail.backends.locmem.EmailBackend"
#: From here on Django has MAILERS, and its backends are told the alias that they are of.
KNOWS_MAILERS = django.VERSION >= (6, 1)


class Queues(BaseEmailBackend):
    """What `QueuedEmailBackend` is known by to all that it leans on, and that cannot import it."""

    #: The alias of MAILERS that sends what is queued; None: OPTIONS["EMAIL"] of TASKS names the backend.
    using: str | None


def has_mailers() -> bool:
    """Tells whether the project has moved to MAILERS."""
    return KNOWS_MAILERS and hasattr(settings, "MAILERS")


def sending_backend(mailer: str | None) -> BaseEmailBackend:
    """
    Returns a new instance of the backend that sends: of an alias of MAILERS, else the one of OPTIONS["EMAIL"].

    In Django's test environment the latter is the outbox, as EMAIL_BACKEND is there. Raises ImproperlyConfigured for
    one that is not there, or that would only queue the message again.
    """
    if has_mailers():
        return _of_mailers(mailer)
    if mailer is not None:
        raise ImproperlyConfigured(
            f"the message was queued for the mailer {mailer!r}, and the settings of this worker have no MAILERS; "
            "bring that mailer back until the queue is empty"
        )
    alias, entry = email_entry()
    path = LOCMEM if is_in_tests() else entry.get("backend", SMTP)
    if (problem := problem_of_backend(path)) is not None:
        raise ImproperlyConfigured(f"{where_of_email(alias)} names a backend that {problem}")
    told: dict[str, Any] = {"alias": None} if KNOWS_MAILERS else {}
    backend: BaseEmailBackend = import_string(path)(**told)
    return backend


def _of_mailers(mailer: str | None) -> BaseEmailBackend:
    if mailer is None:
        # It was queued before the project had MAILERS.
        default = mail.mailers["default"]
        if not isinstance(default, Queues):
            return default
        mailer = default.using
    if (problem := problem_of_mailer(mailer)) is not None:
        raise ImproperlyConfigured(f"the message was queued for the mailer {mailer!r}, {problem}")
    assert mailer is not None
    return mail.mailers[mailer]


def problem_of_mailer(alias: str | None) -> str | None:
    """Says why an alias of MAILERS cannot be the one that sends; None where it can."""
    paths = {name: entry.get("BACKEND", SMTP) for name, entry in _mailers().items()}
    senders = [repr(name) for name, path in paths.items() if not _queues(path)]
    those = f"those that send are {', '.join(senders) or 'none yet'}"
    if alias is None or alias not in paths:
        return f"which MAILERS does not have; {those}"
    if _queues(paths[alias]):
        return f"which queues messages itself, so that nothing would ever be sent; {those}"
    return None


def problem_of_backend(path: Any) -> str | None:
    """Says why a path cannot be the backend that sends; None where it can."""
    if not isinstance(path, str) or "." not in path:
        return f"is no path of a class, such as '{SMTP}': {path!r}"
    try:
        found = import_string(path)
    except ImportError as error:
        return f"cannot be imported: {path!r} ({error})"
    if isinstance(found, type) and issubclass(found, Queues):
        return f"queues messages itself, so that nothing would ever be sent; name the one that sends, such as '{SMTP}'"
    return None


def queued_mailers() -> dict[str, dict[str, Any]]:
    """Returns the OPTIONS of the aliases of MAILERS that queue, by alias."""
    entries = _mailers().items()
    return {alias: entry.get("OPTIONS", {}) for alias, entry in entries if _queues(entry.get("BACKEND", SMTP))}


def _mailers() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = getattr(settings, "MAILERS", {}) if KNOWS_MAILERS else {}
    return found


def _queues(path: Any) -> bool:
    try:
        found = import_string(path)
    except (ImportError, AttributeError):
        # Django says so where the mailer is used.
        return False
    return isinstance(found, type) and issubclass(found, Queues)


__all__ = ["Queues", "has_mailers", "problem_of_backend", "problem_of_mailer", "queued_mailers", "sending_backend"]
