"""A message as the arguments of a job: everything that Django would send of it, in plain JSON."""

from __future__ import annotations

from email.message import Message
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.utils.functional import Promise

from gristmill.mail.parts import flattened, stored_alternative, stored_attachment

#: What a message is made of; whatever else somebody has set on one is carried as an attribute of its own.
FIELDS = frozenset(
    {
        *("subject", "body", "from_email", "to", "cc", "bcc", "reply_to", "extra_headers", "attachments"),
        *("alternatives", "content_subtype", "encoding", "connection"),
    }
)
#: What Django 5.2 lets a class say of all its messages.
SUBTYPES = ("mixed_subtype", "alternative_subtype")
#: Methods that say nothing of what is sent, so that a class of messages may have its own.
FREE = frozenset({"__init__", "send", "attach", "attach_file", "attach_alternative", "body_contains", "get_connection"})
BUILDERS = frozenset(
    name for each in (EmailMessage, EmailMultiAlternatives) for name, value in vars(each).items() if callable(value)
) - {*FREE, "__class__"}


def stored_message(message: EmailMessage) -> dict[str, Any]:
    """
    Returns the arguments of the job that sends a message; what is usual is left out.

    The Date and the Message-ID are those that Django makes for it here and now, so that every attempt sends the same
    message: RFC 5322 (3.6.1) has the Date say when the message was finished, not when it is transported, and a store
    that knows the Message-ID shows it once.

    Raises ValueError for a message that Django itself would refuse, as for a line break in a header; TypeError for
    what cannot be carried: a class of messages that builds them in its own way, content that is neither text, nor
    bytes, nor a message.
    """
    refuse_own_builders(message)
    refuse_line_breaks([message.from_email, *message.recipients()])
    encoding = message.encoding
    if encoding is not None and not isinstance(encoding, str):
        raise TypeError(f"the encoding of a message is {encoding!r}, which a job cannot carry; give its name as text")
    built = message.message()
    # Some of what Django refuses shows only here.
    flattened(built)
    names = {name.lower() for name in message.extra_headers}
    attachments, alternatives = message.attachments, getattr(message, "alternatives", [])
    usual: dict[str, Any] = {
        "to": [_address(each) for each in message.to],
        "cc": [_address(each) for each in message.cc],
        "bcc": [_address(each) for each in message.bcc],
        "reply_to": [_address(each) for each in message.reply_to],
        "headers": {str(name): _header(name, value, built) for name, value in message.extra_headers.items()},
        "attachments": [stored_attachment(each, f"attachments[{n}]") for n, each in enumerate(attachments)],
        "alternatives": [stored_alternative(each, f"alternatives[{n}]") for n, each in enumerate(alternatives)],
        "content_subtype": message.content_subtype if message.content_subtype != "plain" else None,
        "encoding": encoding,
        "attributes": _attributes(message),
        "date": None if "date" in names else str(built["Date"]),
        "message_id": None if "message-id" in names else str(built["Message-ID"]),
    }
    found = {"subject": str(message.subject), "body": _body(message), "from_email": _address(message.from_email)}
    return found | {name: value for name, value in usual.items() if value}


def refuse_own_builders(message: EmailMessage) -> None:
    """Raises TypeError for a class of messages whose own methods a worker would not call."""
    for kind in type(message).__mro__:
        if kind.__module__ in ("django.core.mail.message", "builtins") or kind.__module__.startswith("gristmill.mail."):
            continue
        if own := sorted(BUILDERS & set(vars(kind))):
            raise TypeError(
                f"{kind.__module__}.{kind.__qualname__} has its own {own[0]}(), which a worker would not call: a job "
                "carries the fields of a message. Put what it does into headers, attachments or alternatives, or send "
                "such messages directly, through the backend that sends"
            )


def refuse_line_breaks(addresses: list[Any]) -> None:
    """Raises ValueError for an address that is more than one line: recipients of copies are in no header."""
    for address in map(str, addresses):
        if "\n" in address or "\r" in address:
            raise ValueError(f"the address {address!r} has a line break in it; an address is one line")


def _address(value: Any) -> str | None:
    return None if value is None else str(value)


def _body(message: EmailMessage) -> str:
    body: Any = message.body or ""
    if isinstance(body, bytes):
        return body.decode(message.encoding or settings.DEFAULT_CHARSET, "surrogateescape")
    return str(body)


def _header(name: str, value: Any, built: Message) -> str:
    # Dates and addresses as objects: as Django has written them.
    return str(value if isinstance(value, (str, Promise)) else built[name])


def _attributes(message: EmailMessage) -> dict[str, Any]:
    """Returns what else was set on a message, as backends of mail services go by: tags, metadata, a template."""
    known = EmailMultiAlternatives
    found = {name: getattr(message, name, None) for name in SUBTYPES}
    found = {name: value for name, value in found.items() if value != getattr(known, name, None)}
    own = {name: value for name, value in vars(message).items() if name not in FIELDS and not name.startswith("_")}
    return found | own


__all__ = ["FIELDS", "stored_message"]
