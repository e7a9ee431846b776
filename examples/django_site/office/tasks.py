"""What the photo lab's office has done in the background: some of it goes wrong, each time for the same reason."""

from __future__ import annotations

import asyncio
import os

import django
from django.core import mail

from gristmill import Constant, Context, Unique, task

FROM = "orders@example.com"
#: A job of these arguments is made once, and no other while its result is kept.
ONCE = Unique(until="pruned")
#: There is one of each while it is at work, so a site that is served again has some again.
AT_WORK = Unique(until="finished")
QUEUED = "gristmill.mail.QueuedEmailBackend"


class CardRefused(Exception):
    """The bank said no."""


@task(queue_name="orders", unique=ONCE)
def charge(order: int, euros: int) -> str:
    """Charges a customer's card. Each third one is refused."""
    if order % 3 == 0:
        raise CardRefused(f"order {order}: the bank refused {euros} EUR")
    return f"charged {euros} EUR"


@task(queue_name="orders", unique=ONCE)
def print_order(order: int) -> None:
    """Prints an order, on a printer that nobody has switched on."""
    raise ConnectionRefusedError(f"the printer at 192.0.2.7 refuses the connection for order {order}")


@task(queue_name="orders", unique=ONCE)
def take_paper(order: int, sheets: int) -> int:
    """Takes paper from the store. Who wants the large one finds none."""
    stock = {"A4": 5000, "A5": 9000}
    return stock["A5" if order % 2 else "A3"] - sheets


@task(queue_name="orders", unique=ONCE, max_attempts=12, backoff=Constant(3600))
def fetch_rate(currency: str) -> float:
    """Asks for a rate of exchange, of a service that is away; it is asked again every hour."""
    raise TimeoutError(f"no rate of {currency} within 3 s")


@task(queue_name="pictures", unique=ONCE)
def read_raw(name: str) -> None:
    """Reads a camera's own format with a library in C, which takes its process down."""
    os.abort()


@task(queue_name="mail", unique=ONCE, transactional=True)
def say_thanks(order: int) -> None:
    """Queues a mail, once: the message and the end of this job are one commit."""
    message = mail.EmailMessage("Thank you", f"Your order {order} is on its way.", FROM, [f"order-{order}@example.com"])
    if django.VERSION < (6, 1):
        message.connection = mail.get_connection(QUEUED)
        message.send()
    else:
        message.send(using="queued")


@task(queue_name="newsletter", unique=ONCE)
def send_newsletter(month: str, reader: int) -> str:
    """Sends a newsletter to one reader."""
    return f"{month} to reader {reader}"


@task(unique=ONCE)
def remind(order: int) -> str:
    """Reminds a customer of an order that nobody has fetched."""
    return f"reminded of order {order}"


@task(unique=ONCE)
def collect(branch: str) -> int:
    """Collects a branch's takings."""
    if branch == "Bern":
        raise ValueError(f"the till of {branch} is 12.50 EUR short")
    return len(branch) * 100


@task(unique=ONCE)
def close_month(month: str) -> str:
    """Adds up what was collected."""
    return f"{month} is closed"


@task(unique=ONCE)
def mail_accounts(month: str) -> str:
    """Mails the accounts of a month to who wants them."""
    return f"accounts of {month}"


@task(queue_name="catalogues", takes_context=True, unique=AT_WORK)
async def import_catalogue(context: Context, name: str, pages: int) -> int:
    """Imports a catalogue, a page a second, and says how far it is."""
    context.metadata["catalogue"] = name
    for page in range(1, pages + 1):
        context.progress(page, pages, f"page {page} of {name}")
        await asyncio.sleep(1)
    return pages


@task(queue_name="catalogues", unique=AT_WORK)
def index_catalogue(name: str) -> str:
    """Makes what was imported easy to find."""
    return f"{name} is indexed"


@task(queue_name="catalogues", unique=AT_WORK)
def announce(name: str) -> str:
    """Tells customers of a new catalogue."""
    return f"{name} is announced"


@task(queue_name="archive", schedulable=True)
def archive_orders() -> str:
    """Puts old orders away, on a machine with a large disk, which is switched off."""
    return "archived"


@task(schedulable=True)
def tidy_up() -> str:
    """Throws away what nobody needs any more."""
    return "tidied up"
