"""`manage.py demo FOLDER`: a fresh site, a folder of pictures, four jobs each, a real worker, and a table."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from PIL import Image

from gristmill.models import Job
from photos import folder, tasks
from photos.models import Photo
from photos.progress import FINISHED, Card, PhotoJobState, cards

TORN = "A torn picture"
BAR_CELLS = 36
# So many rows are a table; of more, those that succeeded are only counted.
ROWS_SHOWN = 60
# No job of this demo takes longer than a second or two.
PATIENCE_SECONDS = 60.0


class Command(BaseCommand):
    """The whole of Gristmill in one sitting."""

    help = "Starts the site afresh, loads a folder of pictures, and makes thumbnails with a real worker."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--processes", type=int, default=2)

    def handle(self, *, folder: Path, processes: int, **options: object) -> None:
        pictures = self.read_folder(folder)
        start_afresh()
        self.load(pictures)
        count = Job.objects.count()
        photos = Photo.objects.count()
        self.stdout.write(f"{photos} photos, {count} jobs, {processes} runners, on {connection.display_name}.\n\n")
        status = self.watch(start_worker(processes), count)
        if status != 0:
            raise CommandError(f"The worker ended with status {status}. {worker_said()}")
        shown = cards(limit=photos)
        self.print_table(shown)
        self.conclude(shown)

    def read_folder(self, path: Path) -> folder.Folder:
        try:
            pictures = folder.read(path)
        except folder.NoPictures as error:
            raise CommandError(str(error)) from error
        for sentence in pictures.skipped:
            self.stdout.write(f"left out: {sentence}")
        return pictures

    def load(self, pictures: folder.Folder) -> None:
        """Each photo and its jobs are one transaction."""
        for picture in pictures.pictures:
            try:
                content = picture.read_bytes()
            except OSError as error:
                self.stdout.write(f"left out: {picture.name}: {error.strerror}")
                continue
            tasks.add_photo(picture.name, content, pictures.title(picture), pictures.source(picture))
        tasks.add_photo("torn.jpg", torn_picture(), TORN, "made by the demo: half a JPEG")

    def watch(self, worker: subprocess.Popen[bytes], count: int) -> int:
        """Draws the bar until the worker ends; its status."""
        started = last_change = drawn = time.monotonic()
        done = 0
        try:
            while True:
                ended = worker.poll() is not None
                states = Counter(Job.objects.values_list("state", flat=True))
                finished = sum(states[state] for state in FINISHED)
                now = time.monotonic()
                if finished != done:
                    done, last_change = finished, now
                # On a terminal the bar moves; in a file it is a line a second.
                if ended or self.stdout.isatty() or now - drawn > 1:
                    drawn = now
                    self.draw(bar(finished, count, states, now - started), last=ended)
                if ended:
                    return worker.returncode
                if now - last_change > PATIENCE_SECONDS:
                    raise CommandError(f"Nothing has moved for {PATIENCE_SECONDS:.0f} s. {worker_said()}")
                time.sleep(0.1)
        finally:
            if worker.poll() is None:
                worker.terminate()
                worker.wait()

    def draw(self, text: str, *, last: bool) -> None:
        if self.stdout.isatty():
            self.stdout.write(f"\r\x1b[2K{text}", ending="\n\n" if last else "")
            self.stdout.flush()
        else:
            self.stdout.write(text + "\n" * last)

    def print_table(self, shown: list[Card]) -> None:
        rows = [(card, job) for card in shown for job in card.jobs]
        if len(rows) > ROWS_SHOWN:
            self.stdout.write(f"{sum(job.state == 'successful' for _, job in rows)} successful jobs are not listed.")
            rows = [(card, job) for card, job in rows if job.state != "successful"]
        width = max([5, *(len(card.photo.title) for card, _ in rows)])
        self.stdout.write(f"  {'job':<14} {'photo':<{width}} {'state':<11} {'runner':>8} {'ms':>7}")
        for card in shown:
            for job in (job for of, job in rows if of is card):
                self.stdout.write(f"  {job.makes:<14} {card.photo.title:<{width}} {self.coloured(job)} {figures(job)}")
            for error in card.errors:
                self.stdout.write(f"  {'':<14} {error}")
        self.stdout.write("")

    def coloured(self, job: PhotoJobState) -> str:
        text = f"{job.state:<11}"
        return self.style.ERROR(text) if job.is_failed else text

    def conclude(self, shown: list[Card]) -> None:
        """The demo has gone well when all succeeded but the torn picture's jobs, which failed."""
        whole = [job for card in shown if card.photo.title != TORN for job in card.jobs]
        torn = [job for card in shown if card.photo.title == TORN for job in card.jobs]
        good = sum(job.state == "successful" for job in whole)
        torn_failed = all(job.is_failed for job in torn)
        verdict = "failed, as they should" if torn_failed else "should have failed and did not"
        self.stdout.write(f"{good} of {len(whole)} jobs succeeded; the torn picture's {len(torn)} {verdict}.")
        self.stdout.write(f"The pictures are in {short(settings.MEDIA_ROOT / 'thumbnails')}; `make dev` shows them.")
        if good < len(whole) or not torn_failed:
            raise CommandError("Not all went as it should; the errors stand in the table.")


def start_afresh() -> None:
    """Nothing of an earlier demo is kept."""
    connection.close()
    shutil.rmtree(settings.MEDIA_ROOT, ignore_errors=True)
    for suffix in ("", "-wal", "-shm"):
        Path(f"{settings.DATABASES['default']['NAME']}{suffix}").unlink(missing_ok=True)
    call_command("prepare_site")


def torn_picture() -> bytes:
    """Half a JPEG: its head is whole, its data ends in the middle."""
    output = io.BytesIO()
    Image.effect_mandelbrot((900, 600), (-2.2, -1.1, 1.1, 1.1), 100).save(output, "JPEG")
    whole = output.getvalue()
    return whole[: len(whole) // 2]


def start_worker(processes: int) -> subprocess.Popen[bytes]:
    """The command that a reader would type."""
    with log_file().open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "manage.py", "gristmill", "worker", "--until-done", "--processes", str(processes)],
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def log_file() -> Path:
    return Path(settings.VAR) / "worker.log"


def worker_said() -> str:
    """The end of the worker's log."""
    lines = log_file().read_text(errors="replace").splitlines()[-15:]
    return "\n".join([f"Its log, {short(log_file())}, ends:", *(f"    {line}" for line in lines)])


def bar(finished: int, count: int, states: Counter[str], seconds: float) -> str:
    full = BAR_CELLS * finished // max(count, 1)
    failed = count - states["successful"] - (count - finished)
    return f"  [{'#' * full}{'-' * (BAR_CELLS - full)}] {finished}/{count} done, {failed} failed  {seconds:.1f} s"


def figures(job: PhotoJobState) -> str:
    pid = "" if job.runner_pid is None else str(job.runner_pid)
    spent = "" if job.milliseconds is None else f"{job.milliseconds:.0f}"
    return f"{pid:>8} {spent:>7}"


def short(path: Path) -> str:
    """A path as a reader in the working directory would type it, when it lies beneath."""
    top = Path(settings.BASE_DIR).parent.parent
    return str(path.relative_to(top)) if path.is_relative_to(top) else str(path)
