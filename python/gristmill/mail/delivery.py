"""The task that sends a queued message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gristmill.compat import AnyTask, task_backends
from gristmill.exceptions import NotDelivered, TimedOut
from gristmill.mail import recipients
from gristmill.mail.handover import hand_over
from gristmill.mail.options import MailOptions
from gristmill.mail.restored import restored_message
from gristmill.mail.senders import sending_backend
from gristmill.tasks.aliases import gristmill_backends
from gristmill.tasks.backoff import Exponential
from gristmill.tasks.decorators import task

#: What its jobs are stored under, wherever the function stands.
TASK_NAME = "gristmill.mail.deliver"
#: What holds unless the settings say otherwise.
USUAL: dict[str, Any] = {
    # Half an hour of quick tries, then every hour: about a day in all, as a mail server may be down for a night.
    "max_attempts": 30,
    "backoff": Exponential(base=15, factor=3, max=3600),
    # Django's connections wait without end; a server may take ten minutes for the end of a message (RFC 5321, 4.5.3.2).
    "timeout": 600,
}
#: What may go better later; whatever else `deliver` raises is for good.
RETRIED = (NotDelivered, TimedOut, MemoryError)


def deliver(
    context: Any,
    *,
    subject: str,
    body: str,
    from_email: str,
    to: Sequence[str] = (),
    cc: Sequence[str] = (),
    bcc: Sequence[str] = (),
    reply_to: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    attachments: Sequence[Mapping[str, Any]] = (),
    alternatives: Sequence[Mapping[str, Any]] = (),
    content_subtype: str = "plain",
    encoding: str | None = None,
    attributes: Mapping[str, Any] | None = None,
    date: str | None = None,
    message_id: str | None = None,
    mailer: str | None = None,
) -> None:
    """
    Sends one message: the task of `QueuedEmailBackend`. `mailer` is the alias of MAILERS that sends it, if there are.

    It has succeeded when the server has taken the message for every recipient. Raises NotDelivered, after which it is
    tried again, for those alone who do not have the message yet; SMTPRecipientsRefused, SMTPSenderRefused,
    SMTPDataError or ValueError for what is refused for good.
    """
    message = restored_message(
        subject,
        body,
        from_email,
        to=to,
        cc=cc,
        bcc=bcc,
        reply_to=reply_to,
        headers=headers or {},
        attachments=attachments,
        alternatives=alternatives,
        content_subtype=content_subtype,
        encoding=encoding,
        attributes=attributes or {},
        date=date,
        message_id=message_id,
    )
    total, told = len(set(message.recipients())), recipients.earlier(context, message)
    recipients.narrow(message, told)
    try:
        backend = sending_backend(mailer)
    except Exception as error:
        # Of the settings, not of the message: whoever mends them has the job run.
        raise NotDelivered(f"{type(error).__name__}: {error}") from error
    refused = hand_over(backend, message)
    recipients.settle(context, total, message.recipients(), refused, told)


def delivery(options: MailOptions) -> AnyTask:
    """Returns the task, as its jobs are enqueued by these options."""
    made: AnyTask = task(
        name=TASK_NAME,
        takes_context=True,
        backend=options.task_backend,
        queue_name=options.queue_name,
        priority=options.priority,
        retry_on=RETRIED,
        **{**USUAL, **options.task_options},
    )(deliver)
    return made


def make_known() -> None:
    """Makes the task known under every alias that is Gristmill's, in whichever queue there is."""
    for alias in gristmill_backends():
        queues = task_backends[alias].queues
        queue_name = "default" if not queues or "default" in queues else min(queues)
        delivery(MailOptions(alias, queue_name, 0, {}))


__all__ = ["TASK_NAME", "deliver", "delivery", "make_known"]
