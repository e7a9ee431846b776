"""Hands one message over to the backend that sends, and tells what became of it for good from what may go better."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from smtplib import (
    SMTP,
    SMTPDataError,
    SMTPNotSupportedError,
    SMTPRecipientsRefused,
    SMTPSenderRefused,
)
from typing import TYPE_CHECKING, Any, TypeAlias

from gristmill.exceptions import NotDelivered, TimedOut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.core.mail import EmailMessage
    from django.core.mail.backends.base import BaseEmailBackend

logger = logging.getLogger("gristmill")

#: What a server says of a recipient: its code, and its words.
Reply: TypeAlias = "tuple[int, bytes]"

#: From here on a code means that the same will be refused again (RFC 5321, 4.2.1).
FOR_GOOD = 500
#: For those whom the server was not asked for any more.
NOT_ASKED: Reply = (450, b"not asked")


def hand_over(backend: BaseEmailBackend, message: EmailMessage) -> dict[str, Reply]:
    """
    Sends a message over a connection of its own, and returns the recipients whom the server has refused.

    Where it has taken the message for the others, these have it. A backend that is no SMTP client does not say.

    Raises NotDelivered for what may go better later, which is all that is not about this message; else what the
    server has refused the message with: SMTPSenderRefused, SMTPDataError, or ValueError for an address that is none.
    """
    refused: dict[str, Reply] = {}
    try:
        with closing(backend):
            backend.open()
            watch(backend, message, refused)
            count = backend.send_messages([message])
    except TimedOut:
        raise
    except Exception as error:
        if isinstance(error, SMTPRecipientsRefused) and refused:
            return refused
        if is_for_good(error):
            raise
        raise NotDelivered(f"{type(error).__name__}: {error}") from error
    if count == 0:
        kind = type(backend)
        raise NotDelivered(f"{kind.__module__}.{kind.__qualname__} says that it has sent nothing")
    return refused


@contextmanager
def closing(backend: BaseEmailBackend) -> Iterator[None]:
    """Closes the connection; what goes wrong with that changes nothing of what the server has taken."""
    try:
        yield
    finally:
        try:
            backend.close()
        except Exception:
            logger.debug("the connection to the mail server could not be closed", exc_info=True)


def watch(backend: BaseEmailBackend, message: EmailMessage, refused: dict[str, Reply]) -> None:
    """Has an SMTP connection note whom the server refuses: Django does not look at what `sendmail` returns."""
    smtp = getattr(backend, "connection", None)
    if not isinstance(smtp, SMTP):
        return
    sendmail = smtp.sendmail

    def noting(from_addr: str, to_addrs: Any, *args: Any, **options: Any) -> dict[str, Reply]:
        recipients = message.recipients()
        if isinstance(to_addrs, str) or len(to_addrs) != len(recipients):
            # A backend that sends to others than the message says.
            return sendmail(from_addr, to_addrs, *args, **options)
        # As the message has them; the server is asked for bare addresses.
        given = dict(zip(to_addrs, recipients, strict=True))
        try:
            answer = sendmail(from_addr, to_addrs, *args, **options)
        except SMTPRecipientsRefused as error:
            # The server may have hung up in between; then nobody has it.
            refused.update({name: error.recipients.get(address, NOT_ASKED) for address, name in given.items()})
            raise
        refused.update({given[address]: reply for address, reply in answer.items()})
        return answer

    smtp.sendmail = noting  # type: ignore[method-assign]


def is_for_good(error: Exception) -> bool:
    """
    Tells whether a message would be refused again: what the server says of it with a code from 500 up.

    What it says of the connection or the login is about the settings, and all messages; that is tried again.
    """
    if isinstance(error, (SMTPSenderRefused, SMTPDataError)):
        return error.smtp_code >= FOR_GOOD
    if isinstance(error, SMTPRecipientsRefused):
        return all(code >= FOR_GOOD for code, _ in error.recipients.values())
    # Some errors of connections are ValueErrors too: of certificates, of answers that are no JSON.
    return isinstance(error, (ValueError, SMTPNotSupportedError)) and not (
        isinstance(error, OSError) and not isinstance(error, SMTPNotSupportedError)
    )


__all__ = ["Reply", "hand_over", "is_for_good"]
