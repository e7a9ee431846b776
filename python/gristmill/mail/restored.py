"""A message made again of a job's arguments, as a worker sends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.mail import EmailMultiAlternatives

from gristmill.mail.parts import restored_alternative, restored_attachment
from gristmill.mail.stored import FIELDS


class QueuedMessage(EmailMultiAlternatives):
    """
    A message with the Date and the Message-ID that it was given when it was queued.

    They are no `extra_headers`, so that backends of mail services, some of which refuse these two, see the headers
    that were asked for and no others.
    """

    #: Headers that Django would make anew, in its order.
    _stamps: Mapping[str, str] = {}
    #: Who is still to get it, where some have it already.
    _wanted: Sequence[str] | None = None

    def message(self, **options: Any) -> Any:
        """Returns the message for a mail server, as Django builds it."""
        asked = self.extra_headers
        self.extra_headers = {**self._stamps, **asked}
        try:
            return super().message(**options)
        finally:
            self.extra_headers = asked

    def recipients(self) -> list[str]:
        """Returns those whom the server is to be asked for."""
        return super().recipients() if self._wanted is None else list(self._wanted)

    def send_only_to(self, wanted: Sequence[str]) -> None:
        """Has it go to some of its recipients; its headers stay."""
        self._wanted = wanted


def restored_message(
    subject: str,
    body: str,
    from_email: str,
    *,
    to: Sequence[str],
    cc: Sequence[str],
    bcc: Sequence[str],
    reply_to: Sequence[str],
    headers: Mapping[str, str],
    attachments: Sequence[Mapping[str, Any]],
    alternatives: Sequence[Mapping[str, Any]],
    content_subtype: str,
    encoding: str | None,
    attributes: Mapping[str, Any],
    date: str | None,
    message_id: str | None,
) -> QueuedMessage:
    """Returns the message of a job's arguments; see `stored_message`. Raises ValueError for what is none."""
    message = QueuedMessage(subject, body, from_email, to, cc=cc, bcc=bcc, reply_to=reply_to, headers=dict(headers))
    # Not through attach(), which has guessed types and decoded text already.
    message.attachments = [restored_attachment(each) for each in attachments]
    message.alternatives = [restored_alternative(each) for each in alternatives]
    message.content_subtype, message.encoding = content_subtype, encoding
    stamps = {"Date": date, "Message-ID": message_id}
    message._stamps = {name: value for name, value in stamps.items() if value is not None}
    for name, value in attributes.items():
        if not is_attribute(name):
            raise ValueError(f"{name!r} is nothing that may be set on a message")
        setattr(message, name, value)
    return message


def is_attribute(name: str) -> bool:
    """Tells whether a name may be set: no method and no field of a message, nothing that Python keeps to itself."""
    is_method = callable(getattr(QueuedMessage, name, None))
    return name.isidentifier() and not name.startswith("_") and name not in FIELDS and not is_method


__all__ = ["QueuedMessage", "restored_message"]
