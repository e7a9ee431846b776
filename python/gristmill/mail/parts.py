"""Attachments and alternatives of messages as plain JSON, and back: text as it is, anything else as Base64."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from email.generator import BytesGenerator
from email.message import Message, MIMEPart
from email.mime.base import MIMEBase
from email.parser import BytesParser
from email.policy import compat32, default
from io import BytesIO
from typing import Any

import django
from django.core.mail import EmailAlternative, EmailAttachment, EmailMessage
from django.utils.functional import Promise

Stored = dict[str, Any]

#: What Django writes whole messages by, those included that are parts of one.
OUTER: Any = default if django.VERSION >= (6, 0) else compat32


def stored_attachment(attachment: Any, where: str) -> Stored:
    """
    Returns an attachment as JSON: what `attach()` has made of it, or a part that was made with Python's `email`.

    Raises TypeError, beginning with `where`, for content that is neither text, nor bytes, nor a message.
    """
    if isinstance(attachment, Message):
        return {"part": _text(flattened(attachment)), **({"legacy": True} if isinstance(attachment, MIMEBase) else {})}
    filename, content, mimetype = attachment
    named = {} if filename is None else {"filename": str(filename)}
    return {**named, "mimetype": mimetype, **_stored_content(content, where)}


def stored_alternative(alternative: Sequence[Any], where: str) -> Stored:
    """Returns an alternative body as JSON; raises TypeError as `stored_attachment` does."""
    content, mimetype = alternative
    return {"mimetype": mimetype, **_stored_content(content, where)}


def _stored_content(content: Any, where: str) -> Stored:
    if isinstance(content, (str, Promise)):
        return {"text": str(content)}
    if isinstance(content, (bytes, bytearray, memoryview)):
        return {"base64": _text(bytes(content))}
    if isinstance(content, EmailMessage):
        # Django would make a Date and a Message-ID for it in each attempt.
        content = content.message()
    if isinstance(content, Message):
        return {"base64": _text(flattened(content))}
    raise TypeError(
        f"{where} is {type(content).__name__}, which a job cannot carry; attach text, bytes or a message, such as what "
        "reading the file gives"
    )


def restored_attachment(stored: Mapping[str, Any]) -> Any:
    """Returns an attachment as Django takes it."""
    if "part" in stored:
        return parsed_part(b64decode(stored["part"]), is_legacy=stored.get("legacy", False))
    return EmailAttachment(stored.get("filename"), _restored_content(stored), stored["mimetype"])


def restored_alternative(stored: Mapping[str, Any]) -> EmailAlternative:
    """Returns an alternative body as Django takes it."""
    return EmailAlternative(_restored_content(stored), stored["mimetype"])


def _restored_content(stored: Mapping[str, Any]) -> str | bytes:
    return str(stored["text"]) if "text" in stored else b64decode(stored["base64"])


class LegacyPart(MIMEBase):
    """A part of the classes that Django takes up to its release of 2028, as a parser makes it."""

    def __init__(self, policy: Any = compat32) -> None:
        # Not MIMEBase's own, which asks for a type: that comes with the headers.
        Message.__init__(self, policy)


def parsed_part(raw: bytes, *, is_legacy: bool) -> Message:
    """Returns the part that was flattened."""
    if is_legacy:
        return BytesParser(LegacyPart, policy=compat32).parsebytes(raw)
    return BytesParser(MIMEPart, policy=default).parsebytes(raw)  # type: ignore[arg-type]


def flattened(part: Message) -> bytes:
    """Returns a part as bytes; lines that begin with "From " stay as they are, as Django has it (ticket 13433)."""
    written = BytesIO()
    BytesGenerator(written, mangle_from_=False, policy=OUTER).flatten(part)
    return written.getvalue()


def _text(raw: bytes) -> str:
    return b64encode(raw).decode("ascii")


__all__ = ["flattened", "restored_alternative", "restored_attachment", "stored_alternative", "stored_attachment"]
