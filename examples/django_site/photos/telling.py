"""What the demo prints: a bar, a table of photos, a mail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path

from django.conf import settings

from photos.progress import FAILED, STRANDED, Card, PhotoJobState
from photos.tasks import SIZES

BAR_CELLS = 28
# So many rows are a table; of more, those that succeeded are only counted.
ROWS_SHOWN = 40
TITLE_CELLS = 40
COLUMNS = {"develop": "develop", **{f"thumbnail {size}": str(size) for size in SIZES}, "palette": "palette"}
CELL = 9
HEAD = "photo, milliseconds for"


def bar(states: Counter[str], seconds: float) -> str:
    """`[#####!!--]`: done, failed or stranded, and still to come."""
    count = max(states.total(), 1)
    done, failed, stranded = states["successful"], sum(states[state] for state in FAILED), states[STRANDED]
    stopped = failed + stranded
    full = BAR_CELLS * done // count
    cross = min(BAR_CELLS - full, -(-BAR_CELLS * stopped // count))
    cells = "#" * full + "!" * cross + "-" * (BAR_CELLS - full - cross)
    said = f"{done} of {states.total()} done"
    if stopped:
        said += f", {failed} failed, {stranded} stranded"
    return f"  [{cells}] {said}  {seconds:.1f} s"


def table(shown: list[Card]) -> Iterator[tuple[str, bool]]:
    """A row for each photo with the milliseconds of its jobs; each line, and whether it tells of trouble."""
    rows = shown
    if len(rows) > ROWS_SHOWN:
        rows = [card for card in shown if any(job.state != "successful" for job in card.jobs)]
        yield f"  {len(shown) - len(rows)} photos went well and are not listed.", False
    if not rows:
        return
    width = max(len(HEAD), *(len(short_title(card)) for card in rows))
    yield f"  {HEAD:<{width}}" + "".join(f"{name:>{CELL + 1}}" for name in COLUMNS.values()), False
    for card in rows:
        by_name = {job.makes: job for job in card.jobs}
        cells = "".join(f" {cell(by_name.get(makes)):>{CELL}}" for makes in COLUMNS)
        yield f"  {short_title(card):<{width}}{cells}", any(job.state != "successful" for job in card.jobs)
        for error in card.errors:
            yield f"      {error}", True


def cell(job: PhotoJobState | None) -> str:
    """Milliseconds, or the state where there are none."""
    if job is None:
        return ""
    return f"{job.milliseconds:.0f}" if job.state == "successful" and job.milliseconds is not None else job.state


def short_title(card: Card) -> str:
    title = card.photo.title
    return title if len(title) <= TITLE_CELLS else title[: TITLE_CELLS - 1].rstrip() + "…"


def mail(path: Path) -> Iterator[str]:
    """A mail as a person sees it: what is attached is named, with its size."""
    # Django's backend writes a line of dashes after each.
    text = path.read_bytes().rpartition(b"\n" + b"-" * 79)[0]
    message = message_from_bytes(text, policy=policy.default)
    for name in ("From", "To", "Subject"):
        yield f"{name}: {message[name]}"
    body = message.get_body(("plain",))
    yield from ("", *(body.get_content().splitlines() if body else ()))
    for part in message.iter_attachments():
        yield f"[{part.get_filename()}, {len(part.get_content()) / 1000:.0f} kB]"


def short(path: Path) -> str:
    """A path as a reader in the working directory would type it, when it lies beneath."""
    top = Path(settings.BASE_DIR).parent.parent
    return str(path.relative_to(top)) if path.is_relative_to(top) else str(path)
