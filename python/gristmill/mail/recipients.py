"""
Who is still to get a message: what the attempts of a job remember when a server takes it for some and not for others.

It is in the job's metadata, where people see it too: {"delayed": {address: reply}, "refused": {address: reply}}.
"""

from __future__ import annotations

from smtplib import SMTPRecipientsRefused
from typing import TYPE_CHECKING, Any

from gristmill.compat import task_backends
from gristmill.exceptions import NotDelivered
from gristmill.mail.handover import FOR_GOOD
from gristmill.runner.progress import Context
from gristmill.tasks.aliases import OwnBackend

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gristmill.mail.handover import Reply
    from gristmill.mail.restored import QueuedMessage

DELAYED, REFUSED = "delayed", "refused"
#: Characters of a server's words that are kept for each recipient.
MAX_REPLY = 100

Told = dict[str, dict[str, str]]


def earlier(context: Any, message: QueuedMessage) -> Told:
    """Returns what earlier attempts have learned; one query, for messages to several recipients alone."""
    if len(message.recipients()) < 2 or not isinstance(context, Context):
        return {}
    result = context.task_result
    backend = task_backends[result.backend]
    if not isinstance(backend, OwnBackend):
        return {}
    from gristmill.models import Job

    job = Job.objects.using(backend.database).filter(pk=result.id).first()
    progress = None if job is None else job.progress
    said = {} if progress is None else progress.metadata
    return {name: said[name] for name in (DELAYED, REFUSED) if isinstance(said.get(name), dict) and said[name]}


def narrow(message: QueuedMessage, told: Told) -> None:
    """Has the message go to those alone who are still to get it; once nobody is delayed, to those who were refused."""
    if pending := told.get(DELAYED) or told.get(REFUSED):
        message.send_only_to([each for each in message.recipients() if each in pending])


def settle(context: Any, total: int, asked: Sequence[str], refused: Mapping[str, Reply], told: Told) -> None:
    """
    Ends an attempt whose message was taken for all that were `asked` but those who are `refused`.

    `total` is how many recipients it has in all. Raises NotDelivered where some may get it later;
    SMTPRecipientsRefused where the rest never will, this time or in an earlier attempt.
    """
    never = {address: reply for address, reply in told.get(REFUSED, {}).items() if address not in asked}
    never |= {address: _said(reply) for address, reply in refused.items() if reply[0] >= FOR_GOOD}
    later = {address: _said(reply) for address, reply in refused.items() if reply[0] < FOR_GOOD}
    some_have_it = len(never) + len(later) < total
    if told or never or (later and some_have_it):
        _remember(context, total, never, later, refused)
    if later:
        raise NotDelivered(f"the server has put off {_listed(later)}")
    if never:
        raise SMTPRecipientsRefused({address: _reply(said) for address, said in never.items()})


def _remember(
    context: Any, total: int, never: dict[str, str], later: dict[str, str], refused: Mapping[str, Reply]
) -> None:
    if not isinstance(context, Context):
        return
    context.metadata.update({DELAYED: later, REFUSED: never})
    reached = total - len(never) - len(later)
    try:
        # At once, and not with the end only: who has the message must not get it twice.
        context.progress(reached, total, f"taken for {reached} of {total} recipients")
    except ValueError:
        # More than can be kept. Rather not at all than twice.
        context.metadata.clear()
        raise SMTPRecipientsRefused(dict(refused)) from None


def _said(reply: Reply) -> str:
    code, words = reply
    return f"{code} {words.decode(errors='replace')[:MAX_REPLY]}".replace("\0", " ")


def _reply(said: str) -> Reply:
    code, _, words = said.partition(" ")
    return int(code), words.encode()


def _listed(replies: Mapping[str, str]) -> str:
    return "; ".join(f"{address}: {reply}" for address, reply in replies.items())


__all__ = ["earlier", "narrow", "settle"]
