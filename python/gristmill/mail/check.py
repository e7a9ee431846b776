"""The system checks of queued mail: who sends it, and where it is queued."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from gristmill.compat import task_backends
from gristmill.mail.backend import QueuedEmailBackend
from gristmill.mail.options import (
    NAME,
    OF_EMAIL,
    email_aliases,
    email_entry,
    mail_options,
    option_errors,
    queue_error,
    where_of_email,
)
from gristmill.mail.senders import has_mailers, problem_of_backend, problem_of_mailer, queued_mailers

HINT = "docs/guides/mail.md has the options."


def check_mail(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Checks OPTIONS["EMAIL"] of every alias of TASKS, and every mailer that queues."""
    return [*_entries(), *_mailers(), *_setting()]


def _entries() -> Iterator[CheckMessage]:
    aliases = email_aliases()
    if len(aliases) > 1:
        yield Error(
            f"OPTIONS['{NAME}'] stands in TASKS for {' and '.join(map(repr, aliases))}; mail is queued in one of them.",
            hint=f"Keep that of {aliases[0]!r}, which counts. On Django 6.1 mailers may name others by 'task_backend'.",
            id="gristmill.E016",
        )
    for alias in aliases:
        where, entry = where_of_email(alias), task_backends[alias].options[NAME]
        problems = list(option_errors(entry, OF_EMAIL))
        if not problems and (problem := queue_error(alias, entry.get("queue_name", "default"))) is not None:
            problems = [problem]
        for sentence in problems:
            yield Error(f"{where} {sentence}.", hint=HINT, id="gristmill.E016")
        path = entry.get("backend") if isinstance(entry, dict) else None
        if path is not None and (problem := problem_of_backend(path)) is not None:
            yield Error(f"{where}['backend'] {problem}.", id="gristmill.E015")


def _mailers() -> Iterator[CheckMessage]:
    for alias, given in queued_mailers().items():
        where = f"MAILERS['{alias}']['OPTIONS']"
        using = given.get("using")
        if (problem := problem_of_mailer(using)) is not None:
            yield Error(
                f"{where}['using'] is {using!r}, {problem}.",
                hint="It is the alias of MAILERS whose backend sends what this one queues.",
                id="gristmill.E015",
            )
        rest = {name: value for name, value in given.items() if name not in ("using", "fail_silently")}
        try:
            mail_options(rest, where)
        except ImproperlyConfigured as error:
            # Of the entry in TASKS it has been said.
            if str(error).startswith(where):
                yield Error(f"{error}.", hint=HINT, id="gristmill.E016")


def _setting() -> Iterator[CheckMessage]:
    if has_mailers():
        return
    with warnings.catch_warnings():
        # From 6.1 on Django warns whoever reads it.
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        path = settings.EMAIL_BACKEND
    try:
        found = import_string(path)
    except ImportError:
        return
    alias, entry = email_entry()
    # With an entry it has been said.
    if entry or not (isinstance(found, type) and issubclass(found, QueuedEmailBackend)):
        return
    if (problem := queue_error(alias, "default")) is not None:
        yield Error(f"EMAIL_BACKEND {problem}: {where_of_email(alias)}.", hint=HINT, id="gristmill.E016")
