"""
How messages become jobs: what OPTIONS["EMAIL"] of an alias of TASKS says, and on Django 6.1 the OPTIONS of a mailer.

What a mailer says comes before what OPTIONS["EMAIL"] says, and both before what the task says of itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from gristmill.compat import InvalidTaskBackend, task_backends
from gristmill.tasks.aliases import gristmill_backends
from gristmill.tasks.options import DEFAULTABLE, default_errors

#: The key of TASKS[alias]["OPTIONS"].
NAME = "EMAIL"
#: Options of the task that may be given. Which failures are tried again is for the task to say: see `delivery`.
OF_TASKS = DEFAULTABLE - {"retry_on"}
OF_EMAIL = frozenset({"backend", "queue_name", "priority"})
OF_MAILERS = frozenset({"using", "task_backend", "queue_name", "priority"})
#: Django's bounds of a task's priority.
LOWEST, HIGHEST = -100, 100


@dataclass(frozen=True)
class MailOptions:
    """Where the jobs of messages go, and the task's options that were given."""

    task_backend: str
    queue_name: str
    priority: int
    task_options: Mapping[str, Any]


def email_entry() -> tuple[str, dict[str, Any]]:
    """
    Returns the alias of TASKS that mail is queued in, and its OPTIONS["EMAIL"].

    It is the alias that has such an entry; else "default" if that is Gristmill's, else the first one that is.
    """
    for alias in email_aliases():
        return alias, task_backends[alias].options[NAME]
    ours = gristmill_backends()
    return ("default" if "default" in ours or not ours else next(iter(ours))), {}


def email_aliases() -> list[str]:
    """Returns the aliases of TASKS that have an entry OPTIONS["EMAIL"], those of other backends too."""
    found = []
    for alias in task_backends:
        try:
            options = task_backends[alias].options
        except InvalidTaskBackend:
            continue
        if NAME in options:
            found.append(alias)
    return found


def where_of_email(alias: str) -> str:
    """Returns how errors name the entry of an alias."""
    return f"TASKS['{alias}']['OPTIONS']['{NAME}']"


def mail_options(mailer: Mapping[str, Any], where: str) -> MailOptions:
    """
    Returns how messages are queued by a mailer with these options; none for EMAIL_BACKEND.

    Raises ImproperlyConfigured, beginning with `where` or the entry of TASKS, for what is wrong.
    """
    alias, entry = email_entry()
    of_email = where_of_email(alias)
    for place, given, own in ((of_email, entry, OF_EMAIL), (where, mailer, OF_MAILERS)):
        for sentence in option_errors(given, own):
            raise ImproperlyConfigured(f"{place} {sentence}")
    alias = mailer.get("task_backend") or alias
    given = {**entry, **mailer}
    queue_name = given.get("queue_name", "default")
    if (problem := queue_error(alias, queue_name)) is not None:
        raise ImproperlyConfigured(f"{where if mailer else of_email} {problem}")
    task_options = {name: value for name, value in given.items() if name in OF_TASKS}
    return MailOptions(alias, queue_name, given.get("priority", 0), task_options)


def option_errors(given: Any, own: Collection[str]) -> Iterator[str]:
    """Yields one sentence for each thing that is wrong with options; `own` are those beside the task's."""
    if not isinstance(given, Mapping):
        yield f"must be a dictionary, such as {{'queue_name': 'mail'}}, not {given!r}"
        return
    takes = sorted({*own, *OF_TASKS})
    for name in sorted(set(given) - set(takes), key=str):
        near = get_close_matches(str(name), takes, n=1)
        yield f"has an unknown key {name!r}; " + (
            f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(takes)}"
        )
    if not isinstance(given.get("queue_name", ""), str):
        yield f"has a queue_name that is no text: {given['queue_name']!r}"
    priority = given.get("priority", 0)
    if not isinstance(priority, int) or isinstance(priority, bool) or not LOWEST <= priority <= HIGHEST:
        yield f"has a priority that is no whole number from {LOWEST} to {HIGHEST}: {priority!r}"
    for sentence in default_errors({name: value for name, value in given.items() if name in OF_TASKS}):
        yield f"is wrong: {sentence}"


def queue_error(alias: str, queue_name: str) -> str | None:
    """Says what is wrong with the place that messages are put into."""
    try:
        queues = task_backends[alias].queues
    except InvalidTaskBackend:
        return f"puts mail into TASKS['{alias}'], which cannot be used; there is {', '.join(map(repr, task_backends))}"
    if not queues or queue_name in queues:
        return None
    return (
        f"puts mail into the queue {queue_name!r}, which TASKS['{alias}']['QUEUES'] does not have; give it a "
        f"'queue_name' that is one of {', '.join(map(repr, sorted(queues)))}"
    )


__all__ = ["MailOptions", "email_aliases", "email_entry", "mail_options", "option_errors", "queue_error"]
