"""The email backend that makes each message a job."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.db import DatabaseError, transaction

from gristmill.compat import task_backends
from gristmill.exceptions import MessageTooLarge
from gristmill.mail.delivery import delivery
from gristmill.mail.options import mail_options
from gristmill.mail.senders import Queues, has_mailers, problem_of_backend, problem_of_mailer
from gristmill.mail.stored import stored_message
from gristmill.tasks.aliases import OwnBackend
from gristmill.tasks.calls import call
from gristmill.values.json_rule import MAX_BYTES, encode

logger = logging.getLogger("gristmill")

#: Characters of a subject that an error shows.
MAX_SHOWN = 60


class QueuedEmailBackend(Queues):
    """
    Django's email backend that enqueues: `EMAIL_BACKEND = "gristmill.mail.QueuedEmailBackend"`.

    OPTIONS of a mailer (Django 6.1's MAILERS): using (the alias of MAILERS that sends; it must be given),
    task_backend (an alias of TASKS), queue_name ("default"), priority (0), and options of tasks, such as
    max_attempts. Without MAILERS they are those of TASKS[alias]["OPTIONS"]["EMAIL"], where backend (Django's SMTP
    backend) stands for using.

    Raises ImproperlyConfigured for options that are wrong, and for a login or a server that a caller names: what is
    queued is sent with the settings of the worker.
    """

    def __init__(
        self,
        fail_silently: bool = False,
        *,
        alias: str | None = None,
        using: str | None = None,
        _ignore_unknown_kwargs: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(alias=alias)
        self.alias = alias
        self.fail_silently = fail_silently
        self.using = using
        where = "QueuedEmailBackend()" if alias is None else f"MAILERS['{alias}']['OPTIONS']"
        # Django's functions hand a login on that nobody has given.
        given = {name: value for name, value in options.items() if value is not None}
        if given.keys() & {"host", "username", "password"}:
            raise ImproperlyConfigured(
                f"{where} has {', '.join(map(repr, sorted(given)))}, which a job does not carry: a worker sends with "
                "the login and the server of its own settings; give them to the backend that sends"
            )
        self.options = mail_options(given, where)
        if (problem := self._problem_of_sender()) is not None:
            raise ImproperlyConfigured(f"{where} {problem}")

    def _problem_of_sender(self) -> str | None:
        if has_mailers():
            problem = problem_of_mailer(self.using)
            return problem and f"must have 'using', the alias of MAILERS that sends, and has {self.using!r}, {problem}"
        if self.using is not None:
            return f"has 'using' {self.using!r}, and the settings have no MAILERS, which Django knows from 6.1 on"
        path = task_backends[self.options.task_backend].options.get("EMAIL", {}).get("backend")
        problem = None if path is None else problem_of_backend(path)
        return problem and f"sends with the backend of OPTIONS['EMAIL'], which {problem}"

    def send_messages(self, email_messages: Iterable[EmailMessage]) -> int:
        """
        Enqueues a job for each message that has recipients, and returns how many.

        All or none of them, in the transaction that is open on the queue's database. Raises TypeError or ValueError
        for a message that cannot be carried, before any of them is enqueued; MessageTooLarge for one that is larger
        than a job's arguments may be; and whatever an enqueue raises. With `fail_silently`, what the database raises
        and messages that are too large are logged as warnings instead.
        """
        calls = []
        for message in email_messages or ():
            if not message.recipients():
                continue
            arguments = stored_message(message)
            if self.using is not None:
                arguments["mailer"] = self.using
            try:
                self._refuse_what_does_not_fit(arguments)
            except MessageTooLarge as error:
                if not self.fail_silently:
                    raise
                logger.warning("a message is not sent: %s", error)
                continue
            calls.append(arguments)
        if not calls:
            return 0
        try:
            with self._savepoint():
                self._enqueue(calls)
        except DatabaseError as error:
            if not self.fail_silently:
                raise
            logger.warning("%d messages are not sent, as they could not be enqueued: %s", len(calls), error)
            return 0
        return len(calls)

    def _enqueue(self, calls: list[dict[str, Any]]) -> None:
        task: Any = delivery(self.options)
        if len(calls) == 1 or not hasattr(task, "enqueue_many"):
            for arguments in calls:
                task.enqueue(**arguments)
        else:
            task.enqueue_many(call(**arguments) for arguments in calls)

    def _refuse_what_does_not_fit(self, arguments: dict[str, Any]) -> None:
        alias = self.options.task_backend
        limit = getattr(task_backends[alias], "max_json_bytes", MAX_BYTES)
        where = f"the message {arguments['subject'][:MAX_SHOWN]!r}"
        text = encode(arguments, where=where, max_bytes=sys.maxsize)
        if (size := len(text.encode())) > limit:
            raise MessageTooLarge(
                f"{where} is {size:,} bytes as a job, with attachments as Base64, and the limit is {limit:,}: raise "
                f"OPTIONS['MAX_JSON_BYTES'] of TASKS['{alias}'], link to the files instead of attaching them, or send "
                "it directly, through the backend that sends"
            )

    def _savepoint(self) -> AbstractContextManager[Any]:
        """Where errors are passed over, they must not have broken the caller's transaction."""
        backend = task_backends[self.options.task_backend]
        if not self.fail_silently or not isinstance(backend, OwnBackend):
            return nullcontext()
        return transaction.atomic(using=backend.database)


__all__ = ["QueuedEmailBackend"]
